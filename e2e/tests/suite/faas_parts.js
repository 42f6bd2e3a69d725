// The five parts of a system of functions, by Node's zeromq: written from the description of their sockets and messages, so
// that each can stand in for turno's part of that name, and turno's for it. They lose what the original loses.
//
//   node faas_parts.js ROLE '{"port name": "tcp://…", …}'
"use strict";
const http = require("http");
const { randomUUID } = require("crypto");
const zmq = require("zeromq");

const at = JSON.parse(process.argv[3]);
const text = value => JSON.stringify(value);
const say = line => console.log(line);

async function each(socket, take) {
  for await (const frames of socket) await take(...frames);
}

// ZeroMQ.js lets one send at a time be under way.
function sender(socket) {
  let last = Promise.resolve();
  return frames => (last = last.then(() => socket.send(frames)));
}

const parts = {
  async front() {
    const requests = new zmq.Push(), answers = new zmq.Pull();
    requests.connect(at.requests);
    await answers.bind(at.front);
    const send = sender(requests), waiting = new Map();
    http.createServer((request, reply) => {
      if (request.method !== "POST") return reply.end("hello\n");
      let body = "";
      request.on("data", piece => (body += piece));
      request.on("end", () => {
        const id = randomUUID();
        waiting.set(id, reply);
        send(text({ id, message: JSON.parse(body) }));
      });
    }).listen(at.http.split(":")[1], "127.0.0.1", () => say("ready"));
    await each(answers, frame => {
      const { id, message } = JSON.parse(frame);
      waiting.get(id)?.end(text(message));
      waiting.delete(id);
    });
  },

  async broker() {
    const requests = new zmq.Pull(), workers = new zmq.Router(), jobs = new zmq.Publisher();
    const answers = new zmq.Pull(), front = new zmq.Push();
    await Promise.all([requests.bind(at.requests), workers.bind(at.workers), jobs.bind(at.jobs), answers.bind(at.answers)]);
    front.connect(at.front);
    const publish = sender(jobs), answer = sender(front), reply = sender(workers);
    const topics = at.queues.split(","), queues = [];
    let topic = 0, queue = 0;
    say("ready");
    await Promise.all([
      each(requests, frame => publish([topics[topic++ % topics.length], frame])),
      each(workers, async (id, empty, frame) => {
        while (queues.length === 0) await new Promise(later => setTimeout(later, 20));
        if (JSON.parse(frame).type === "request_queue_ip")
          reply([id, empty, text({ queue_ip: queues[queue++ % queues.length] })]);
      }),
      each(answers, frame => {
        const said = JSON.parse(frame);
        if (said.type === "init_queue") queues.push(said.ip_worker_to_queue);
        else if (said.type === "response") answer(frame);
        else throw new Error("not a message of a queue: " + frame);
      }),
    ]);
  },

  async coordinator() {
    const from = new zmq.XSubscriber(), to = new zmq.XPublisher();
    await from.bind(at.coordinator_in);
    await to.bind(at.coordinator_out);
    const tell = sender(to), queues = new Map();
    say("ready");
    await Promise.all([
      (async () => { for await (const [said] of to) await from.send(said); })(), // subscriptions
      each(from, (topic, frame) => {
        const said = JSON.parse(frame);
        if (said.type === "queue_status") {
          queues.set(said.queue_name, said.num_workers);
          const all = [...queues].map(([queue_name, num_workers]) => ({ queue_name, num_workers }));
          tell([topic, text({ type: "queue_status", queues: all })]);
        } else if (said.type === "job") tell([topic, frame]);
      }),
    ]);
  },

  async queue() {
    const name = at.queue_name, workers = new zmq.Router(), jobs = new zmq.Subscriber(), answers = new zmq.Push();
    const out = new zmq.Publisher(), data = new zmq.Subscriber();
    await workers.bind(at.queue);
    jobs.connect(at.jobs); jobs.subscribe(name);
    answers.connect(at.answers);
    out.connect(at.coordinator_in);
    data.connect(at.coordinator_out); data.subscribe("DATA");
    const reply = sender(workers), answer = sender(answers), tell = sender(out);
    const idle = [], queued = [], all = new Set();
    let others = [];
    const status = () => tell(["DATA", text({ type: "queue_status", queue_name: name, num_workers: all.size })]);
    const take = ({ id, message }) => {
      const worker = idle.shift();
      if (worker) return reply([worker, "", text({ type: "request_job", id, message })]);
      const other = others.find(it => it.queue_name !== name && it.num_workers > 0);
      if (all.size === 0 && other)
        return tell(["DATA", text({ type: "job", queue_from: name, queue_to: other.queue_name, id, message })]);
      queued.push({ id, message });
    };
    const free = worker => {
      // As the original does: a queued job comes in another shape.
      const job = queued.shift();
      if (job) reply([worker, "", text({ type: "request_job", job })]);
      else idle.push(worker);
    };
    setInterval(() => { for (const worker of idle.splice(0)) reply([worker, "", text({ type: "heartbeat" })]); }, 4000);
    answer(text({ type: "init_queue", ip_worker_to_queue: at.queue }));
    setTimeout(status, 300);
    say("ready");
    await Promise.all([
      each(jobs, (topic, frame) => take(JSON.parse(frame))),
      each(data, (topic, frame) => {
        const said = JSON.parse(frame);
        if (said.type === "queue_status") others = said.queues;
        else if (said.queue_to === name) take(said);
      }),
      each(workers, (worker, empty, frame) => {
        const said = JSON.parse(frame);
        if (said.type === "new") { all.add(worker.toString("hex")); status(); }
        if (said.type === "response") answer(frame);
        free(worker);
      }),
    ]);
  },

  async worker() {
    const ask = new zmq.Request();
    ask.connect(at.workers);
    await ask.send(text({ type: "request_queue_ip" }));
    const { queue_ip } = JSON.parse((await ask.receive())[0]);
    const queue = new zmq.Request();
    queue.connect(queue_ip);
    await queue.send(text({ type: "new" }));
    say("ready");
    await each(queue, async frame => {
      const said = JSON.parse(frame);
      const { id, message } = said.job ?? said;
      await queue.send(text(said.type === "request_job" ? { type: "response", id, message } : { type: "heartbeat" }));
    });
  },
};

parts[process.argv[2]]().catch(error => { console.error(error); process.exit(1); });
