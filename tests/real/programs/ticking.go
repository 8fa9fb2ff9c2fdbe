// Goroutines, timers, a ticker, channels and a mutex; the sums do not depend on the order.
package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

func worker(jobs <-chan int, results chan<- int, done *sync.WaitGroup) {
	defer done.Done()
	for n := range jobs {
		time.Sleep(2 * time.Millisecond)
		results <- n * n
	}
}

func main() {
	start := time.Now()
	jobs, results := make(chan int), make(chan int, 16)
	var workers sync.WaitGroup
	for i := 0; i < 8; i++ {
		workers.Add(1)
		go worker(jobs, results, &workers)
	}
	go func() {
		for n := 1; n <= 4000; n++ {
			jobs <- n
		}
		close(jobs)
		workers.Wait()
		close(results)
	}()

	fired := make(chan int, 10)
	for i := 1; i <= 10; i++ {
		i := i
		time.AfterFunc(time.Duration(i)*100*time.Millisecond, func() { fired <- i })
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	ticks, timers, seen, sum, count := 0, 0, 0, 0, 0
	garbage := make([][]byte, 64)
	for results != nil || ticks < 20 || timers < 10 {
		select {
		case n, open := <-results:
			if !open {
				results = nil
				fmt.Println("sum", sum, "of", count)
				continue
			}
			sum, count = sum+n, count+1
			garbage[count%64] = make([]byte, 4096+n%1000)
		case <-ticker.C:
			if ticks++; ticks <= 20 {
				fmt.Fprintln(os.Stderr, "tick", ticks)
			}
		case i := <-fired:
			timers++
			seen += i
		}
	}
	ticker.Stop()
	if time.Since(start) < time.Second {
		fmt.Println("too fast: time jumped")
	}
	fmt.Println("timers", timers, "that add up to", seen)
}
