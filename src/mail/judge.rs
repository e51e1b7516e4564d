//! Whose doing an opening or a click is: the table of rules, first match wins. Everything personal ends here: a verdict comes out.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::lists::{Files, Lists, ListsError};
use crate::config::Mail as Config;
use crate::event::{Address, Agent, MailAction, Millis, Reader};

/// Nobody reads a mail this soon after its batch went out.
const TOO_SOON: Millis = 10_000;

/// A request for a pixel or a link, for as long as it lasts.
pub struct Load<'a> {
    pub at: Millis,
    pub action: MailAction,
    pub address: &'a Address,
    pub agent: Agent<'a>,
    /// Asks for the head only, or for something else than the mail to be shown.
    pub head: bool,
    /// Says that nobody asked to see it yet.
    pub prefetch: bool,
    /// A crawler or a program by the list for page views.
    pub known_bot: bool,
    /// When the batch went out, if the token says so.
    pub sent: Option<Millis>,
}

pub struct Judge {
    files: Files,
    lists: ArcSwap<Lists>,
}

impl Judge {
    pub fn new(config: &Config) -> Result<Judge, ListsError> {
        let files = Files { agents: config.agents_file.clone(), networks: config.networks_file.clone() };
        let lists = ArcSwap::from_pointee(Lists::load(&files)?);
        Ok(Judge { files, lists })
    }

    /// Reads lists that changed again; `true` if there were any. After an error the old ones stay in force.
    pub fn reload_if_changed(&self) -> Result<bool, ListsError> {
        let outdated = self.lists.load().is_outdated(&self.files)?;
        if outdated {
            self.lists.store(Arc::new(Lists::load(&self.files)?));
        }
        Ok(outdated)
    }

    /// For the operator: of when the agents and the networks are, and how many stretches of addresses those are.
    pub fn dates(&self) -> (String, String, usize) {
        let lists = self.lists.load();
        let (agents, networks, stretches) = lists.dates();
        (agents.to_owned(), networks.to_owned(), stretches)
    }

    pub fn reader(&self, load: &Load<'_>) -> Reader {
        let lists = self.lists.load();
        let (agents, agent) = (&lists.agents, load.agent.expose());
        let too_soon = load.sent.is_some_and(|sent| load.at < sent + TOO_SOON);
        if load.head || load.prefetch || too_soon || agents.scanners.are_in(agent) {
            return Reader::Machine;
        }
        if agents.proxies.are_in(agent) {
            return Reader::Proxied;
        }
        if agents.bare.iter().any(|bare| bare == agent) {
            return Reader::Machine;
        }
        // By the same networks people browse through Private Relay: a browser there is a person, and so is whoever clicks.
        let fetched_ahead = load.action == MailAction::Open && !agents.browsers.are_in(agent);
        if fetched_ahead && lists.networks.hold(load.address.expose()) {
            return Reader::Machine;
        }
        // A mail program may call itself by one word, as programs of machines do.
        if load.known_bot && !agents.programs.are_in(agent) {
            return Reader::Machine;
        }
        Reader::Direct
    }
}
