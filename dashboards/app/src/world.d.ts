declare module "virtual:world" {
  const world: { width: number; height: number; shapes: [code: string, path: string][] };
  export default world;
}
