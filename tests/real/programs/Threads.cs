// Threads, a timer, tasks and files, with garbage to collect all the while.
using System;
using System.IO;
using System.Threading;
using System.Threading.Tasks;

class Threads {
    static int sum;

    static void Count(object number) {
        for (int i = 0; i < 100; i++) {
            lock (typeof(Threads)) sum += (int)number;
            Thread.Sleep(5);
            GC.KeepAlive(new byte[50000]);
        }
    }

    static void Main() {
        var threads = new Thread[6];
        for (int i = 0; i < threads.Length; i++) {
            threads[i] = new Thread(Count);
            threads[i].Start(i);
        }
        foreach (var thread in threads) thread.Join();
        Console.WriteLine("threads " + sum);

        var ticks = new CountdownEvent(50);
        using (new Timer(_ => { lock (ticks) if (!ticks.IsSet) ticks.Signal(); }, null, 0, 20)) ticks.Wait();
        Console.WriteLine("timer");

        var tasks = new Task<int>[50];
        for (int i = 0; i < tasks.Length; i++) {
            int number = i;
            tasks[i] = Task.Run(async () => { await Task.Delay(30); return number * number; });
        }
        Task.WaitAll(tasks);
        sum = 0;
        foreach (var task in tasks) sum += task.Result;
        Console.WriteLine("tasks " + sum);

        for (int i = 0; i < 40; i++) {
            GC.Collect();
            File.AppendAllText("lines", i + "\n");
            Thread.Sleep(20);
        }
        Console.WriteLine("file " + File.ReadAllText("lines").Length);
    }
}
