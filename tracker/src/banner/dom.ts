// Creates elements without parsing HTML and without style attributes, so that the strictest content
// security policy allows them.

export const h = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | false>,
  ...children: (Node | string | false)[]
): HTMLElementTagNameMap[K] => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (value !== false) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== false));
  return element;
};

export const attachStyles = (host: HTMLElement, css: string): ShadowRoot => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [sheet];
  return root;
};
