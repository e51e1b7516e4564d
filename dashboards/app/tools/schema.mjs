// docs/openapi.json -> the types of what the API answers. That description is held against the
// running program by a test, so a shape that changes there is an error of the compiler here.
import { readFileSync } from "node:fs";

const one = (schema) => {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map(one).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  if (Array.isArray(schema.type))
    return schema.type.map((type) => one({ ...schema, type })).join(" | ");
  switch (schema.type) {
    case "array":
      return `(${one(schema.items)})[]`;
    case "object":
      return object(schema);
    case "integer":
    case "number":
      return "number";
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    default:
      return "unknown";
  }
};

const object = ({ properties, required = [], additionalProperties }) => {
  if (!properties)
    return additionalProperties ? `{ [key: string]: ${one(additionalProperties)} }` : "object";
  const fields = Object.entries(properties).map(
    ([key, of]) => `${JSON.stringify(key)}${required.includes(key) ? "" : "?"}: ${one(of)}`,
  );
  return `{ ${fields.join("; ")} }`;
};

export const schema = () => {
  const api = JSON.parse(
    readFileSync(new URL("../../../docs/openapi.json", import.meta.url), "utf8"),
  );
  const types = Object.entries(api.components.schemas).map(
    ([name, of]) => `export type ${name} = ${one(of)};`,
  );
  types.push(`export type ExportTable = ${one(api.components.parameters.table.schema)};`);
  return `// Made from docs/openapi.json by tools/schema.mjs: do not edit.\n${types.join("\n")}\n`;
};
