// The view state, kept in the URL, so that a view can be bookmarked, shared and navigated back to.
import { parseView, serializeView, type ViewState } from "./view";

class UrlState {
  view = $state.raw(parseView(location.search));

  constructor() {
    addEventListener("popstate", () => (this.view = parseView(location.search)));
  }

  update(change: Partial<ViewState>, replace = false): void {
    const view = { ...this.view, ...change };
    const url = location.pathname + serializeView(view);
    if (url === location.pathname + serializeView(this.view)) return;
    history[replace ? "replaceState" : "pushState"](null, "", url);
    this.view = view;
  }
}

export const urlState = new UrlState();
/** The URL of a dashboard page, with the selected theme, which is kept only in the URL. */
export const pageUrl = (path: string, query: Record<string, string> = {}): string => {
  const { theme } = urlState.view;
  const text = new URLSearchParams(theme ? { ...query, theme } : query).toString();
  return text ? `${path}?${text}` : path;
};

/** Applies a theme; an empty one means the system's. */
export const applyTheme = (theme: string): void => {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
};
$effect.root(() => {
  $effect(() => applyTheme(urlState.view.theme));
});
