// An HTTP server that gives back what it was sent: echoing.js PORT.
const http = require("http");
http.createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => response.end(Buffer.concat(pieces)));
}).listen(Number(process.argv[2]), "127.0.0.1");
