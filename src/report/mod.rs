//! Stage 9: questions become answers.
//!
//! Content (the site, its pages, links and events) is shown exactly and as of now. Attributes of people are read where they are published,
//! and nowhere else: which of them are is decided when a day is over (`publication`), not here, so no question can be made that divides
//! them. Nothing here knows who is asking; that is `web`.

mod answer;
mod ask;
mod faults;
mod fold;
mod mail;
mod platform;
mod question;
mod range;
mod series;
mod so_far;
mod vitals;

pub use answer::Answer;
pub use ask::ask;
pub use faults::{FaultsAnswer, faults};
pub use mail::{MailAnswer, mail};
pub use platform::{Choices, drops, pages, sites};
pub use question::{Asked, Filter, Question, Rules};
pub use vitals::{VitalsAnswer, vitals};
