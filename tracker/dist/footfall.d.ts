export interface Options {
    /** Where hits go, on the page's own origin: `/u/mia/ff/hit`. `/ff/hit` if left out. */
    endpoint?: string;
    /**
     * Answers for a host with a consent platform of its own. The collector looks for its own cookie
     * all the same.
     */
    consent?: () => boolean;
    /** Measures how fast the page was: loads `vitals.js` from beside the endpoint. */
    vitals?: boolean;
    /** Counts script errors: loads `faults.js` from beside the endpoint. */
    faults?: boolean;
    /** This page is a 404. */
    missing?: boolean;
    /** Says in the console, once for each reason, why nothing was sent. */
    debug?: boolean;
}
export interface EventFacts {
    /** An amount in major units: 19.99. It counts together with its currency. */
    value?: number | string | undefined;
    /** Three capital letters (ISO 4217): EUR. */
    currency?: string | undefined;
    /** The visitor did nothing for it: it does not end a bounce. */
    passive?: boolean | undefined;
}
/**
 * Counts from now on, whenever it may. A second call changes nothing. What it gives back stops it
 * and forgets what waits.
 */
export declare const enable: (options?: Options) => (() => void);
/** Counts that something happened: `event("editor: add block")`. A name says what, never who. */
export declare const event: (name: string, facts?: EventFacts) => void;
/** Says that the page in sight is a 404. */
export declare const missing: () => void;
