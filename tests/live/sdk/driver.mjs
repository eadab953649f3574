// Everything a user of the TypeScript SDK does with batches; prints one JSON object of facts.
// `driver.mjs URL MODEL tour` | `large N` | `statuses MODEL…`; SDK_FOLDER says which version.

import { createRequire } from "node:module";

const require = createRequire(process.env.SDK_FOLDER + "/");
const sdk = require("@anthropic-ai/sdk");
const Anthropic = sdk.default ?? sdk.Anthropic;
const { version } = require(process.env.SDK_FOLDER + "/node_modules/@anthropic-ai/sdk/package.json");

const [url, model, what, ...rest] = process.argv.slice(2);
const client = new Anthropic({ baseURL: url, apiKey: "sk-driver", maxRetries: 0 });

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const entry = (custom_id, model, text, params = {}) => ({
  custom_id,
  params: { model, max_tokens: 32, messages: [{ role: "user", content: text }], ...params },
});

async function collect(pages, most = 10000) {
  const found = [];
  for await (const item of pages) {
    found.push(item);
    if (found.length >= most) break;
  }
  return found;
}

async function refusal(call) {
  try {
    await call();
    return { class: null };
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      type: error.error?.error?.type ?? null,
      body_request_id: error.error?.request_id ?? null,
      request_id: error.requestID ?? error.request_id ?? null,
      message: error.error?.error?.message ?? String(error.message),
    };
  }
}

async function untilEnded(batches, id, seconds = 60) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const batch = await batches.retrieve(id);
    if (batch.processing_status === "ended") return batch;
    if (Date.now() > deadline) throw new Error(`${id} did not end: ${JSON.stringify(batch)}`);
    await sleep(50);
  }
}

async function paging(batches) {
  const made = [];
  for (let n = 0; n < 5; n++) {
    made.push((await batches.create({ requests: [entry("one", model, `${n}`)] })).id);
  }
  const ids = (found) => found.map((batch) => batch.id);
  const facts = {
    made,
    forwards: ids(await collect(batches.list({ limit: 2 }), 5)),
    backwards: ids(await collect(batches.list({ limit: 2, before_id: made[0] }), 4)),
    after: ids(await collect(batches.list({ limit: 2, after_id: made[4] }), 4)),
    too_many: await refusal(() => batches.list({ limit: 1001 })),
    both: await refusal(() => batches.list({ before_id: made[0], after_id: made[1] })),
  };
  const first = await batches.list({ limit: 2 });
  facts.first_page = [first.has_more, first.first_id, first.last_id, first.data.length];
  for (const id of made) await untilEnded(batches, id);
  return facts;
}

async function unfinished(batches) {
  const requests = Array.from({ length: 40 }, (_, n) => entry(`s-${n}`, "slow", `slow ${n}`));
  const batch = await batches.create({ requests });
  const facts = {
    id: batch.id,
    results: await refusal(() => batches.results(batch.id)),
    delete: await refusal(() => batches.delete(batch.id)),
    canceled: await batches.cancel(batch.id),
    canceled_again: await batches.cancel(batch.id),
  };
  facts.ended = await untilEnded(batches, batch.id);
  facts.canceled_late = await batches.cancel(batch.id);
  const lines = await collect(await batches.results(batch.id));
  facts.lines = lines.map((line) => [line.custom_id, line.result.type]).sort();
  return facts;
}

async function siblings(root) {
  const ask = { model, max_tokens: 16, messages: [{ role: "user", content: "Say hi." }] };
  const message = await root.create(ask);
  const events = (await collect(await root.create({ ...ask, stream: true }))).map((e) => e.type);
  const streamed = await client.messages.stream(ask).finalMessage();
  const counted = await root.countTokens({ model, messages: ask.messages });
  const listing = root === client.messages ? client.models : client.beta.models;
  const models = await collect(listing.list());
  return {
    message,
    message_request_id: message._request_id,
    events,
    streamed,
    input_tokens: counted.input_tokens,
    models: models.map((one) => one.id),
    one: await client.models.retrieve(models[0].id),
    unknown_model: await refusal(() => client.models.retrieve("no-such-model")),
    unknown_live: await refusal(() => root.create({ ...ask, model: "no-such-model" })),
  };
}

async function tour(space) {
  const root = space === "beta" ? client.beta.messages : client.messages;
  const batches = root.batches;
  const requests = [0, 1, 2, 3, 4].map((n) => entry(`ok-${n}`, model, `Answer ${n} für mich ✓`));
  requests.push({ custom_id: "no-messages", params: { model, max_tokens: 3 } });
  requests.push(entry("streams", model, "hi", { stream: true }));
  requests.push(entry("zero", model, "hi", { max_tokens: 0 }));
  requests.push(entry("unknown-model", "no-such-model", "hi"));
  const betas = space === "beta" ? { betas: ["output-300k-2026-03-24"] } : {};
  const created = await batches.create({ requests, ...betas });
  const facts = { created, created_request_id: created._request_id };
  facts.retrieved_id = (await batches.retrieve(created.id)).id;
  facts.ended = await untilEnded(batches, created.id);
  const lines = await collect(await batches.results(created.id));
  facts.result_count = lines.length;
  facts.results = Object.fromEntries(lines.map((line) => [line.custom_id, line.result]));
  facts.paging = await paging(batches);
  facts.waiting = await unfinished(batches);
  facts.deleted = await batches.delete(created.id);
  facts.after_delete = {
    retrieve: await refusal(() => batches.retrieve(created.id)),
    delete: await refusal(() => batches.delete(created.id)),
    cancel: await refusal(() => batches.cancel(created.id)),
    results: await refusal(() => batches.results(created.id)),
  };
  facts.bad_create = await refusal(() => batches.create({ requests: [] }));
  const { data, response } = await batches.retrieve(facts.waiting.id).withResponse();
  facts.raw = { request_id: response.headers.get("request-id"), id: data.id };
  facts.siblings = await siblings(root);
  return facts;
}

async function large(count) {
  const batches = client.messages.batches;
  const requests = Array.from({ length: count }, (_, n) => entry(`big-${n}`, model, `Label ${n}`));
  const started = Date.now();
  const created = await batches.create({ requests });
  const create_seconds = (Date.now() - started) / 1000;
  await batches.cancel(created.id);
  const ended = await untilEnded(batches, created.id, 120);
  const ids = [];
  for await (const line of await batches.results(created.id)) ids.push(line.custom_id);
  return { created, create_seconds, ended, lines: ids.length, different: new Set(ids).size };
}

async function statuses(models) {
  const ask = { max_tokens: 16, messages: [{ role: "user", content: "Say hi." }] };
  const facts = {};
  for (const model of models) {
    facts[model] = await refusal(() => client.messages.create({ model, ...ask }));
  }
  return facts;
}

const facts = { version };
if (what === "large") Object.assign(facts, await large(Number(rest[0])));
else if (what === "statuses") Object.assign(facts, await statuses(rest));
else for (const space of ["ga", "beta"]) facts[`async-${space}`] = await tour(space);
console.log(JSON.stringify(facts));
