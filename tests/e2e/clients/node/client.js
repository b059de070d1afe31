// A Node.js program with nothing but its NKey seed: it tells what happens to it, a JSON line at a time.
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";

const { url, seed, tenant, channel } = JSON.parse(process.argv[2]);
const tell = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }));

let nc;
try {
  nc = await connect({
    servers: url,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
    reconnect: false,
  });
} catch (error) {
  tell("refused", { name: error.name });
  process.exit(0);
}

// Answers requests, from wherever they come.
nc.subscribe(`${tenant}.double`, {
  callback: (_error, message) => message.respond(JSON.stringify(message.json() * 2)),
});

const heard = new Promise((resolve) => {
  nc.subscribe(channel, {
    callback: (_error, message) => {
      const data = message.json();
      if (data.by !== "node") {
        tell("heard", { data, from: message.headers?.get("Artcafe-From") });
        resolve();
      }
    },
  });
});
await nc.flush();
nc.publish(channel, JSON.stringify({ by: "node" }));
await nc.flush();
tell("published");

await heard;
const reply = await nc.request(`${tenant}.ask`, JSON.stringify({ question: 6 }), { timeout: 5000 });
tell("reply", { data: reply.json() });

for await (const chunk of process.stdin) {
  if (chunk.toString().includes("stop")) break;
}
await nc.drain();
tell("closed");
process.exit(0);
