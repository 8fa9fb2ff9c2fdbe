import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;

/** Threads that count, allocate (so that the collector runs) and get hot (so that the JIT does). */
public class Counting {
    static final AtomicLong total = new AtomicLong();
    static final ConcurrentHashMap<Integer, Long> sums = new ConcurrentHashMap<>();

    static long work(int seed) {
        long hash = seed;
        List<byte[]> garbage = new ArrayList<>();
        for (int i = 0; i < 20000; i++) {
            hash = hash * 6364136223846793005L + 1442695040888963407L;
            if (i % 50 == 0) {
                garbage.add(new byte[1024]);
            }
            if (garbage.size() > 100) {
                garbage.clear();
            }
        }
        return hash;
    }

    public static void main(String[] args) throws Exception {
        final int threads = 4, rounds = 50;
        CountDownLatch done = new CountDownLatch(threads);
        for (int t = 0; t < threads; t++) {
            final int id = t;
            new Thread(() -> {
                long sum = 0;
                for (int r = 0; r < rounds; r++) {
                    sum ^= work(id * 1000 + r);
                    total.incrementAndGet();
                    try {
                        Thread.sleep(15);
                    } catch (InterruptedException e) {
                        System.out.println("interrupted for no reason");
                    }
                }
                sums.put(id, sum);
                done.countDown();
            }, "counter-" + t).start();
        }
        done.await();
        for (int t = 0; t < threads; t++) {
            System.out.println("thread " + t + " " + Long.toHexString(sums.get(t)));
        }
        System.out.println("total " + total.get());
    }
}
