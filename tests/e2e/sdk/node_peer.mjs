// Clients of the TypeScript SDK, for a test in another language: answers requests, one line of JSON each.

import { createInterface } from "node:readline";

import { connect } from "@artcafe/client";
import { connectNats } from "@artcafe/client/nats";
import { connect as natsConnect } from "@nats-io/transport-node";

const clients = new Map();
const subscriptions = new Map();
// What `publishNumbers` and `collect` have done, by client.
const acknowledged = new Map();
const collected = new Map();

async function publishNumbers(name, channel) {
  const mine = [];
  acknowledged.set(name, mine);
  for (let number = 0; !mine.isOver; number += 1) {
    try {
      await clients.get(name).channel(channel).publish([name, number]);
      mine.push([name, number]);
    } catch (error) {
      // After a long sleep it is not known whether a message was stored.
      if (error.code !== "publish_uncertain") throw error;
    }
    await new Promise((done) => setTimeout(done, 2));
  }
}

async function collect(name, subscription) {
  const mine = [];
  collected.set(name, mine);
  for await (const message of subscription) mine.push(message.data);
}

const operations = {
  async connect({ name, servers, ...options }) {
    const client = servers ? connectNats({ connect: natsConnect, servers, ...options }) : connect(options);
    clients.set(name, await client);
  },
  async publish({ name, subject, channel, data, base64, headers }) {
    const client = clients.get(name);
    const value = base64 === undefined ? data : Uint8Array.from(Buffer.from(base64, "base64"));
    const options = headers ? { headers } : {};
    const ack = await (channel ? client.channel(channel).publish(value, options) : client.publish(subject, value, options));
    return ack.seq ?? null;
  },
  async subscribe({ name, key, subject, channel, queue, after }) {
    const client = clients.get(name);
    const options = { ...(queue ? { queue } : {}), ...(after === undefined ? {} : { resumeFrom: after }) };
    const subscription = channel ? client.channel(channel).subscribe(options) : client.subscribe(subject, options);
    subscriptions.set(key, await subscription.confirmed());
  },
  async take({ key, count }) {
    const messages = [];
    while (messages.length < count) {
      const { value } = await subscriptions.get(key).next();
      messages.push({ data: value.data, headers: value.headers, seq: value.seq ?? null });
    }
    return messages;
  },
  pending({ key }) {
    return subscriptions.get(key).pending;
  },
  async respond({ name, subject }) {
    await clients.get(name).respond(subject, ({ data }) => ({ by: name, q: data })).confirmed();
  },
  request({ name, subject, data }) {
    return clients.get(name).request(subject, data);
  },
  publishNumbers({ name, channel }) {
    void publishNumbers(name, channel);
  },
  count: ({ name }) => acknowledged.get(name).length,
  stopNumbers({ name }) {
    const mine = acknowledged.get(name);
    mine.isOver = true;
    return mine;
  },
  async collect({ name, channel }) {
    void collect(name, await clients.get(name).channel(channel).subscribe({ resumeFrom: 0 }).confirmed());
  },
  collected: ({ name, from }) => collected.get(name).slice(from),
  async close() {
    await Promise.all([...clients.values()].map((client) => client.close()));
    clients.clear();
    subscriptions.clear();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, ...options } = JSON.parse(line);
  let answer;
  try {
    answer = { result: (await operations[operation](options)) ?? null };
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit();
