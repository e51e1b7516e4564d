// Makes the script of src/start.ts asynchronous: it runs as soon as it is there, and waits neither
// for the style nor for the main script.
export const start = () => ({
  name: "start",
  transformIndexHtml: {
    order: "post",
    handler: (html) => {
      const early = html.replace(
        /<script type="module"(?=[^>]* src="\/assets\/start-)/,
        "$& async",
      );
      if (early === html) throw new Error("the page has no script of src/start.ts");
      return early;
    },
  },
});
