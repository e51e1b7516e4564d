export interface Options {
    /** The endpoint for hits, on the page's own origin: `/u/mia/ff/hit`. Default: `/ff/hit`. */
    endpoint?: string;
    /**
     * Whether the visitor consented, for a host with its own consent platform. The collector still
     * requires its own consent cookie.
     */
    consent?: () => boolean;
    /** Measures Core Web Vitals: loads `vitals.js` from the endpoint's directory. */
    vitals?: boolean;
    /** Counts script errors: loads `faults.js` from the endpoint's directory. */
    faults?: boolean;
    /** Whether this page is a 404. */
    missing?: boolean;
    /** Logs to the console why nothing was sent, once for each reason. */
    debug?: boolean;
}
export interface EventFacts {
    /** An amount in major units, such as 19.99. Ignored without a currency. */
    value?: number | string | undefined;
    /** An ISO 4217 code in capital letters, such as EUR. */
    currency?: string | undefined;
    /** The event needed no action by the visitor, so that the visit can still be a bounce. */
    passive?: boolean | undefined;
}
/**
 * Starts the tracker, which counts only with consent. A second call has no effect. The returned
 * function stops the tracker and discards hits that were not sent yet.
 */
export declare const enable: (options?: Options) => (() => void);
/** Counts a custom event: `event("editor: add block")`. Names must not identify a person. */
export declare const event: (name: string, facts?: EventFacts) => void;
/** Marks the current page as a 404. */
export declare const missing: () => void;
