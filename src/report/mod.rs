//! Stage 9: turns report questions into answers.
//!
//! Content (the site, its pages, links and events) is reported exactly and as of now. Attributes of
//! people are read from what is published and from nowhere else. `publication` decides what is
//! published once a day is over, so no choice of range or filter can divide a published lot. This
//! module does not check permissions; `web` does.

mod answer;
mod ask;
mod faults;
mod fold;
mod mail;
mod platform;
mod question;
mod range;
mod rows;
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
