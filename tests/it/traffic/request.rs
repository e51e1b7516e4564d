//! A request as a browser would send it, with the truth about it.

use serde_json::{Value, json};

use super::people::{Dice, Person};
use super::values::{Happening, QUERIES, REFERRERS};
use crate::reference::{Attributes, Deed, Hit};
use crate::support::{CONSENT_VERSION, signed};

pub struct Site {
    pub name: &'static str,
    pub host: &'static str,
    pub zone: &'static str,
}

/// A body posted to `{prefix}/hit` at a moment. The sender adds the header with the moment and the
/// body's length.
#[derive(Clone)]
pub struct Sent {
    pub at: i64,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub hits: Vec<Hit>,
}

impl Sent {
    /// The same bytes once more, at another time.
    pub fn again(&self, at: i64) -> Sent {
        let mut again = self.clone();
        again.at = at;
        again.hits.iter_mut().for_each(|hit| hit.at = at);
        again
    }
}

/// How a visitor came to the page.
#[derive(Clone)]
pub struct Entry {
    query: &'static str,
    referrer: Option<String>,
    source: String,
    channel: &'static str,
    campaign: Option<&'static str>,
}

impl Entry {
    /// From outside, with or without a tagged link.
    pub fn arrival(dice: &mut Dice, site: &Site, person: &Person) -> Entry {
        let mut entry = Entry::within(site, person);
        if person.agent.app.is_none() && !dice.permille(150) {
            let (referrer, source, channel) = *dice.pick_front(&REFERRERS);
            entry.referrer = referrer.map(str::to_owned);
            entry.source = source.to_owned();
            entry.channel = channel;
        }
        if dice.permille(350) {
            let tags = dice.pick_front(&QUERIES);
            entry.query = tags.query;
            entry.source = tags.source.map_or(entry.source, str::to_owned);
            entry.channel = tags.channel.unwrap_or(entry.channel);
            entry.campaign = tags.campaign;
        }
        entry
    }

    /// From another page of the host; an in-app browser sends no referrer.
    pub fn within(site: &Site, person: &Person) -> Entry {
        match person.agent.app {
            // The apps of the table are social networks.
            Some(app) => Entry {
                query: "",
                referrer: None,
                source: app.to_owned(),
                channel: "social",
                campaign: None,
            },
            None => {
                let referrer = Some(format!("https://{}/u/{}", site.host, site.name));
                Entry {
                    query: "",
                    referrer,
                    source: "(direct)".to_owned(),
                    channel: "own",
                    campaign: None,
                }
            }
        }
    }

    /// From one of the table's referrers.
    pub fn from_referrer(n: usize) -> Entry {
        let (referrer, source, channel) = REFERRERS[n];
        Entry {
            query: "",
            referrer: referrer.map(str::to_owned),
            source: source.to_owned(),
            channel,
            campaign: None,
        }
    }
}

/// Milliseconds of attention; the pairs are rows of the table of values.
#[derive(Clone, Copy)]
pub enum What {
    View,
    Click(&'static (&'static str, &'static str), Option<u64>),
    Event(&'static Happening),
    Leave(u64),
}

/// One hit of a body.
#[derive(Clone)]
pub struct Act {
    pub site: &'static Site,
    pub page: &'static (&'static str, &'static str),
    pub what: What,
    pub entry: Entry,
    pub id: Option<String>,
    pub webdriver: bool,
}

/// What is unusual about a request, and the reason to drop it, if any.
#[derive(Clone, Copy)]
pub enum Oddity {
    Header(&'static str, &'static str, Option<&'static str>),
    /// The `Cookie` field. `VERSION` and `GRANT` are replaced by the current version and by this
    /// person's consent id, which is then signed.
    Cookie(&'static str, Option<&'static str>),
    NoCookie,
    Agent(&'static str),
    Webdriver,
    Host(&'static str),
    /// A page of a known host that is not a profile.
    Path(&'static str),
}

impl Oddity {
    fn reason(&self) -> Option<&'static str> {
        match self {
            Oddity::Header(_, _, reason) | Oddity::Cookie(_, reason) => *reason,
            Oddity::NoCookie => Some("no_consent"),
            Oddity::Agent(_) | Oddity::Webdriver => Some("not_a_view"),
            Oddity::Host(_) | Oddity::Path(_) => Some("unknown_site"),
        }
    }
}

/// All acts of a body are on one host.
pub fn request(at: i64, person: &Person, acts: &[Act], odd: &[Oddity]) -> Sent {
    let host = odd.iter().find_map(|o| {
        if let Oddity::Host(host) = o {
            Some(*host)
        } else {
            None
        }
    });
    let host = host.unwrap_or(acts[0].site.host);
    let bodies: Vec<Value> = acts.iter().map(|act| payload(act, host, odd)).collect();
    let body = if let [one] = bodies.as_slice() {
        one.to_string()
    } else {
        Value::Array(bodies).to_string()
    };
    let hits = acts.iter().map(|act| truth(at, person, act, odd)).collect();
    Sent {
        at,
        headers: headers(person, host, odd),
        body,
        hits,
    }
}

fn headers(person: &Person, host: &str, odd: &[Oddity]) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("Host", host.to_owned()),
        ("X-Forwarded-For", person.address.clone()),
        ("User-Agent", person.agent.header.to_owned()),
        ("Content-Type", "text/plain;charset=UTF-8".to_owned()),
        ("Origin", format!("https://{host}")),
        ("Sec-Fetch-Site", "same-origin".to_owned()),
        (
            "Cookie",
            cookie("theme=dark; ff_consent=VERSION.analytics.GRANT", person),
        ),
    ];
    headers.extend(
        person
            .language
            .0
            .map(|tags| ("Accept-Language", tags.to_owned())),
    );
    for o in odd {
        match o {
            Oddity::Header(name @ ("Origin" | "Sec-Fetch-Site"), value, _) => {
                set(&mut headers, name, value)
            }
            Oddity::Header(name, value, _) => headers.push((name, (*value).to_owned())),
            Oddity::Cookie(template, _) => set(&mut headers, "Cookie", &cookie(template, person)),
            Oddity::NoCookie => headers.retain(|(name, _)| *name != "Cookie"),
            Oddity::Agent(agent) => set(&mut headers, "User-Agent", agent),
            Oddity::Webdriver | Oddity::Host(_) | Oddity::Path(_) => {}
        }
    }
    headers
}

fn set(headers: &mut [(&'static str, String)], name: &str, value: &str) {
    for header in headers.iter_mut().filter(|(known, _)| *known == name) {
        header.1 = value.to_owned();
    }
}

fn cookie(template: &str, person: &Person) -> String {
    let filled = template.replace("VERSION", &CONSENT_VERSION.to_string());
    let signs = |pair: &str| {
        let (name, value) = pair.split_once('=').expect("name=value");
        let Some(terms) = value.strip_suffix(".GRANT") else {
            return pair.to_owned();
        };
        let (version, tiers) = terms.split_once('.').expect("version.tiers");
        format!(
            "{name}={}",
            signed(
                "footfall",
                version.parse().expect("a version"),
                tiers,
                &person.grant
            )
        )
    };
    filled.split("; ").map(signs).collect::<Vec<_>>().join("; ")
}

fn payload(act: &Act, host: &str, odd: &[Oddity]) -> Value {
    let path = odd.iter().find_map(|o| {
        if let Oddity::Path(path) = o {
            Some((*path).to_owned())
        } else {
            None
        }
    });
    let path = path.unwrap_or_else(|| format!("/u/{}{}", act.site.name, act.page.0));
    let question = if act.entry.query.is_empty() { "" } else { "?" };
    let mut body = json!({"url": format!("https://{host}{path}{question}{}", act.entry.query)});
    if let Some(referrer) = &act.entry.referrer {
        body["referrer"] = json!(referrer);
    }
    if let Some(id) = &act.id {
        body["id"] = json!(id);
    }
    if act.webdriver || odd.iter().any(|o| matches!(o, Oddity::Webdriver)) {
        body["webdriver"] = json!(true);
    }
    match act.what {
        What::View => body["kind"] = json!("view"),
        What::Click((name, _), engaged) => {
            body["kind"] = json!("click");
            body["name"] = json!(name);
            if let Some(ms) = engaged {
                body["engaged"] = json!(ms);
            }
        }
        What::Event(happening) => {
            body["kind"] = json!("event");
            body["name"] = json!(happening.name);
            if happening.passive {
                body["passive"] = json!(true);
            }
            if let Some((amount, currency, _)) = happening.money {
                body["value"] = json!(amount);
                body["currency"] = json!(currency);
            } else if let Some(value) = happening.value {
                body["value"] = json!(value);
            }
        }
        What::Leave(ms) => {
            body["kind"] = json!("leave");
            body["engaged"] = json!(ms);
        }
    }
    body
}

fn truth(at: i64, person: &Person, act: &Act, odd: &[Oddity]) -> Hit {
    let page = format!("/u/{}{}", act.site.name, act.page.1);
    let deed = match act.what {
        What::View => Deed::View { page },
        What::Click((_, item), engaged) => Deed::Click {
            link: (*item).to_owned(),
            engaged: engaged.unwrap_or(0),
        },
        What::Event(Happening {
            name,
            passive,
            money,
            ..
        }) => {
            let money = money.map(|(_, currency, minor)| (minor, currency));
            Deed::Event {
                name: (*name).to_owned(),
                passive: *passive,
                money,
            }
        }
        What::Leave(engaged) => Deed::Leave { page, engaged },
    };
    let mut attributes: Attributes = [
        ("source", act.entry.source.as_str()),
        ("channel", act.entry.channel),
        ("country", &person.country),
        ("device", person.agent.device),
        ("browser", person.agent.browser),
        ("os", person.agent.os),
        ("language", person.language.1),
    ]
    .map(|(dim, value)| (dim, value.to_owned()))
    .into();
    attributes.extend(
        act.entry
            .campaign
            .map(|campaign| ("campaign", campaign.to_owned())),
    );
    let mut against: Vec<&str> = odd.iter().filter_map(Oddity::reason).collect();
    against.extend(act.webdriver.then_some("not_a_view"));
    Hit {
        at,
        site: act.site.id(),
        address: person.address.clone(),
        agent: person.agent.header.to_owned(),
        deed,
        id: act.id.clone(),
        attributes,
        against,
    }
}
