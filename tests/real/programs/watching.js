// Each file that is told to be new has the next one made: an event that is lost ends the chain.
const fs = require("fs");
const last = 60;
fs.mkdirSync("watched");
let next = 0;
const watcher = fs.watch("watched", (kind, name) => {
  if (kind !== "rename" || name !== `file${next}`) return;
  console.log(name);
  if (next === last) return watcher.close();
  next += 1;
  setTimeout(() => fs.mkdirSync(`watched/file${next}`), 40);
});
fs.mkdirSync("watched/file0");
