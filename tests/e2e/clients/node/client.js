// A Node.js program whose only credential is an NKey seed. It prints its events as JSON lines.
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";

const { url, seed, tenant, channel } = JSON.parse(process.argv[2]);
const print = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }));

let nc;
try {
  nc = await connect({
    servers: url,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
    reconnect: false,
  });
} catch (error) {
  print("rejected", { name: error.name });
  process.exit(0);
}

// Responds to requests.
nc.subscribe(`${tenant}.double`, {
  callback: (_error, message) => message.respond(JSON.stringify(message.json() * 2)),
});

const received = new Promise((resolve) => {
  nc.subscribe(channel, {
    callback: (_error, message) => {
      const data = message.json();
      if (data.by !== "node") {
        print("received", { data, from: message.headers?.get("Artcafe-From") });
        resolve();
      }
    },
  });
});
await nc.flush();
nc.publish(channel, JSON.stringify({ by: "node" }));
await nc.flush();
print("published");

await received;
const reply = await nc.request(`${tenant}.ask`, JSON.stringify({ question: 6 }), { timeout: 5000 });
print("reply", { data: reply.json() });

for await (const chunk of process.stdin) {
  if (chunk.toString().includes("stop")) break;
}
await nc.drain();
print("closed");
process.exit(0);
