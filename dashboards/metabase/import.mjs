// Imports the questions of this folder into Metabase, by its API: a database, a collection, one
// question for each file of questions/, and a dashboard with all of them. What has the same name is
// updated, so that it can be run again. Metabase's own serialization needs a paid plan.
//
//   node import.mjs           imports; the environment says where (docs/use/BI.md)
//   node import.mjs --list    prints the questions as JSON and asks nobody
import { readdirSync, readFileSync } from "node:fs";

const QUESTIONS = new URL("questions/", import.meta.url);
const NAME = "Footfall";

/** The filters of questions and dashboard: `{{name}}` in a statement. */
const FILTERS = {
  from: { id: "f1a6b0c2", "display-name": "From", type: "date", parameter: "date/single" },
  to: { id: "f1a6b0c3", "display-name": "To", type: "date", parameter: "date/single" },
  site: { id: "f1a6b0c4", "display-name": "Site", type: "text", parameter: "string/=" },
};

/** The width of Metabase's grid, and the size of a question in it. */
const GRID = { columns: 24, width: 12, height: 7 };

/** A question's file: comments with name, display and description, then the statement. */
function parseQuestion(file) {
  const lines = readFileSync(new URL(file, QUESTIONS), "utf8").split("\n");
  const field = (key) => {
    const line = lines.find((line) => line.startsWith(`-- ${key}: `));
    if (!line) throw new Error(`${file}: no line "-- ${key}: ..."`);
    return line.slice(`-- ${key}: `.length);
  };
  const sql = lines
    .filter((line) => !line.startsWith("-- "))
    .join("\n")
    .trim();
  const filters = Object.keys(FILTERS).filter((name) => sql.includes(`{{${name}}}`));
  return {
    file,
    name: field("name"),
    display: field("display"),
    description: field("description"),
    sql,
    filters,
  };
}

const questions = readdirSync(QUESTIONS)
  .filter((file) => file.endsWith(".sql"))
  .sort()
  .map(parseQuestion);

function setting(name, fallback) {
  const value = process.env[name] || fallback;
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

/** A request to Metabase's API. */
class Metabase {
  constructor(url) {
    this.url = url.replace(/\/$/, "");
    this.session = null;
  }

  async ask(method, path, body) {
    const headers = { "Content-Type": "application/json" };
    if (this.session) headers["X-Metabase-Session"] = this.session;
    const answer = await fetch(this.url + path, { method, headers, body: JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text.slice(0, 500)}`);
    return text ? JSON.parse(text) : null;
  }

  /** Waits up to five minutes: the first start makes a database. */
  async start() {
    for (let tries = 0; ; tries += 1) {
      const healthy = await fetch(`${this.url}/api/health`).then(
        (answer) => answer.ok,
        () => false,
      );
      if (healthy) return;
      if (tries === 150) throw new Error(`${this.url} does not answer`);
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }

  /** Logs in; makes the first user where there is none. */
  async logIn(email, password) {
    const properties = await this.ask("GET", "/api/session/properties");
    const answer = properties["has-user-setup"]
      ? await this.ask("POST", "/api/session", { username: email, password })
      : await this.ask("POST", "/api/setup", {
          token: properties["setup-token"],
          user: { email, password, first_name: "Footfall", last_name: "Operator", site_name: NAME },
          prefs: { site_name: NAME, allow_tracking: false },
        });
    this.session = answer.id;
  }

  /** Makes or updates what has this name among `known`, and returns its id. */
  async put(path, known, body) {
    const found = known.find(({ name }) => name === body.name);
    const made = found
      ? await this.ask("PUT", `${path}/${found.id}`, body)
      : await this.ask("POST", path, body);
    return made.id ?? found.id;
  }

  /** What a collection holds of a model: `card` or `dashboard`. */
  async items(collection, model) {
    return (await this.ask("GET", `/api/collection/${collection}/items?models=${model}`)).data;
  }
}

function card(question, database, collection) {
  const tags = question.filters.map((name) => {
    const { parameter: _, ...tag } = FILTERS[name];
    return [name, { ...tag, name }];
  });
  const native = { query: question.sql, "template-tags": Object.fromEntries(tags) };
  return {
    name: question.name,
    description: question.description,
    display: question.display,
    collection_id: collection,
    dataset_query: { type: "native", database, native },
    visualization_settings: {},
  };
}

/** The questions' places on the dashboard, with the filters that each has. */
function place({ id, filters }, index) {
  const perRow = GRID.columns / GRID.width;
  return {
    id: -1 - index,
    card_id: id,
    row: Math.floor(index / perRow) * GRID.height,
    col: (index % perRow) * GRID.width,
    size_x: GRID.width,
    size_y: GRID.height,
    visualization_settings: {},
    parameter_mappings: filters.map((name) => ({
      parameter_id: FILTERS[name].id,
      card_id: id,
      target: ["variable", ["template-tag", name]],
    })),
  };
}

async function importAll() {
  const metabase = new Metabase(setting("METABASE_URL", "http://127.0.0.1:3000"));
  const [email, password] = [setting("METABASE_EMAIL"), setting("METABASE_PASSWORD")];
  const details = {
    host: setting("FOOTFALL_BI_HOST", "127.0.0.1"),
    port: Number(setting("FOOTFALL_BI_PORT", "8123")),
    ssl: process.env.FOOTFALL_BI_TLS === "true",
    user: "metabase",
    password: setting("FOOTFALL_BI_TOKEN"),
    dbname: setting("FOOTFALL_BI_DATABASE", "footfall_bi"),
  };
  await metabase.start();
  await metabase.logIn(email, password);

  const { data: databases } = await metabase.ask("GET", "/api/database");
  const body = { name: NAME, engine: "clickhouse", details };
  const database = await metabase.put("/api/database", databases, body);
  const collections = await metabase.ask("GET", "/api/collection");
  const collection = await metabase.put("/api/collection", collections, { name: NAME });

  const [cards, placed] = [await metabase.items(collection, "card"), []];
  for (const question of questions) {
    const id = await metabase.put("/api/card", cards, card(question, database, collection));
    placed.push({ id, filters: question.filters });
  }

  const parameters = Object.entries(FILTERS).map(([slug, filter]) => ({
    id: filter.id,
    name: filter["display-name"],
    slug,
    type: filter.parameter,
  }));
  const dashboards = await metabase.items(collection, "dashboard");
  const shown = { name: NAME, collection_id: collection, parameters };
  const dashboard = await metabase.put("/api/dashboard", dashboards, shown);
  const dashcards = placed.map(place);
  await metabase.ask("PUT", `/api/dashboard/${dashboard}`, { parameters, dashcards });
  console.log(`questions=${questions.length} dashboard=${metabase.url}/dashboard/${dashboard}`);
}

if (process.argv.includes("--list")) console.log(JSON.stringify(questions, null, 1));
else await importAll();
