// Calls every operation with the clients of @hey-api/openapi-ts and openapi-typescript, and prints the statuses.
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import { client } from "./built/hey/client.gen.js";
import * as sdk from "./built/hey/sdk.gen.js";

const plan = JSON.parse(await readFile(process.argv[2], "utf8"));
const statuses = {};
const headers = { Authorization: `Bearer ${plan.token}`, "X-Tenant-Id": plan.tenantId };
client.setConfig({ baseUrl: plan.api, auth: plan.token, headers });
const typed = createClient({ baseUrl: plan.api, headers });
for (const { name, method, route, path, ...call } of plan.calls) {
  const body = call.body ?? undefined;
  let answer;
  if (plan.generator === "hey") {
    answer = await sdk[name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())]({ path, body });
  } else {
    answer = await typed[method](route, { params: { path }, body, parseAs: "text" });
  }
  if (!answer.response) throw new Error(`${name}: ${answer.error}`);
  statuses[name] = answer.response.status;
}
console.log(JSON.stringify(statuses));
