// The platform's streams, own streams and stores, and micro services, with the standard libraries. It prints one JSON
// object of results.
import { jetstream, jetstreamManager, AckPolicy } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { wsconnect } from "@nats-io/nats-core";
import { Objm } from "@nats-io/obj";
import { Svcm } from "@nats-io/services";
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
import WebSocket from "ws";

globalThis.WebSocket ??= WebSocket;
const { url, websocket, reader, manager, channel } = JSON.parse(process.argv[2]);
const domain = "PLATFORM";
const results = {};

const open = (seed) => {
  const authenticator = nkeyAuthenticator(new TextEncoder().encode(seed));
  return websocket
    ? wsconnect({ servers: websocket, authenticator, reconnect: false })
    : connect({ servers: url, authenticator, reconnect: false });
};

const readAll = async (consumer, count, handle) => {
  const values = [];
  for await (const message of await consumer.fetch({ max_messages: count, expires: 3000 })) {
    values.push(await handle(message));
  }
  return values;
};

// With default permissions.
let nc = await open(reader);
results.ack = (await jetstream(nc).publish(channel, JSON.stringify(3))).seq;
const streams = await jetstreamManager(nc, { domain });
results.messages = (await streams.streams.info("CHANNELS")).state.messages;
results.last = (await streams.direct.getMessage("CHANNELS", { last_by_subj: channel })).json();
const consumers = jetstream(nc, { domain }).consumers;
const ordered = await consumers.get("CHANNELS", { filter_subjects: channel });
results.ordered = await readAll(ordered, 3, (message) => message.json());
await streams.consumers.add("CHANNELS", { durable_name: "work", ack_policy: AckPolicy.Explicit });
const durable = await consumers.get("CHANNELS", "work");
results.acknowledged = await readAll(durable, 2, (message) => message.ackAck());
results.pending = (await durable.info()).num_ack_pending;
await streams.consumers.delete("CHANNELS", "work");
const service = await new Svcm(nc).add({ name: "maths", version: "1.0.0" });
service.addEndpoint("add", (_error, message) => message.respond("42"));
results.service = (await nc.request("add", "", { timeout: 3000 })).string();
await nc.close();

// With `streams: "manage"`.
nc = await open(manager);
const store = await new Kvm(nc).create("settings");
await store.put("colour", "red");
results.value = (await store.get("colour")).string();
const objects = await new Objm(nc).create("files");
await objects.putBlob({ name: "report" }, new Uint8Array(300_000));
results.bytes = (await objects.getBlob("report")).length;
await (await jetstreamManager(nc)).streams.add({ name: "MINE", subjects: ["mine.>"] });
await jetstream(nc).publish("mine.a", "1");
results.own = (await (await jetstream(nc).consumers.get("MINE")).next({ expires: 3000 })).string();
await nc.close();

console.log(JSON.stringify(results));
process.exit(0);
