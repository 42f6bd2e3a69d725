// Node's zeromq as a client and as a worker of the broker.   node peers.js ROLE FRONT BACK
"use strict";
const zmq = require("zeromq");

const roles = {
  // A bare REQ client: each request gets its own answer.
  async req(front) {
    const socket = new zmq.Request({ receiveTimeout: 30000 });
    socket.connect(front);
    for (let number = 0; number < 20; number++) {
      await socket.send(`node-${number}`);
      const [answer] = await socket.receive();
      if (answer.toString() !== `NODE-${number}`) throw new Error(`${number}: ${answer}`);
    }
  },

  // A DEALER that asks for everything at once, with a delimiter as a REQ would send it.
  async dealer(front) {
    const socket = new zmq.Dealer({ receiveTimeout: 30000 });
    socket.connect(front);
    const wanted = new Set();
    for (let number = 0; number < 20; number++) {
      await socket.send(["", `many-${number}`]);
      wanted.add(`MANY-${number}`);
    }
    while (wanted.size > 0) {
      const frames = await socket.receive();
      const answer = frames[frames.length - 1].toString();
      if (!wanted.delete(answer)) throw new Error(`not asked for, or twice: ${answer}`);
    }
  },

  // The load-balancing worker of the guide: READY, then an answer for each request.
  async lb_worker(front) {
    const socket = new zmq.Request();
    socket.connect(front);
    await socket.send("READY");
    console.log("ready");
    for await (const [client, , request] of socket) {
      await socket.send([client, "", request.toString().toUpperCase()]);
    }
  },

  // A worker of a two-port system.
  async cbw_worker(front, back) {
    const socket = new zmq.Request();
    socket.connect(back);
    await socket.send(["", ""]);
    console.log("ready");
    for await (const [client, request] of socket) {
      await socket.send([client, request.toString().toUpperCase()]);
    }
  },
};

const [role, ...addresses] = process.argv.slice(2);
roles[role](...addresses).then(() => process.exit(0), error => { console.error(error); process.exit(1); });
