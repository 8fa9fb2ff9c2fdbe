// Timers and worker threads; each is counted.
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

if (!isMainThread) {
  let hash = workerData;
  let round = 0;
  const step = () => {
    for (let i = 0; i < 20000; i++) hash = (Math.imul(hash, 1664525) + 1013904223) >>> 0;
    if (++round < 60) setTimeout(step, 10);
    else parentPort.postMessage(hash);
  };
  step();
} else {
  const results = new Array(3);
  let left = results.length;
  for (let i = 0; i < results.length; i++) {
    new Worker(__filename, { workerData: i + 1 }).on('message', (hash) => {
      results[i] = hash;
      if (--left === 0) console.log('workers', results.join(' '));
    });
  }
  let ticks = 0;
  const began = process.hrtime.bigint();
  const timer = setInterval(() => {
    if (++ticks % 10 === 0) console.error('tick', ticks);
    if (ticks === 50) {
      clearInterval(timer);
      const took = Number(process.hrtime.bigint() - began) / 1e6;
      if (took < 900) console.log('too fast: time jumped');
    }
  }, 20);
}
