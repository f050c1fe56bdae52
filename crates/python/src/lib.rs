//! Runs strategies written for backtesting.py as they are.
//!
//! # How it is built
//!
//! A [`Worker`] is a *fork server*: one Python process in a sandbox that imports the heavy modules once and forks
//! for every run. The server never runs a script and never sees one: a script's text, its results and its output
//! travel through descriptors that the server passes on. The child gives itself limits, puts up a filter of system
//! calls that takes the right to start processes and to signal others ([`Cage`](springtide_sandbox::Cage)), and
//! only then looks at the script. Its scratch folder is its own and is gone before the next run begins.
//!
//! Bars reach all children through one mapping of an Arrow file ([`BarsImage`]); nothing is parsed twice.
//!
//! The harness around a script wraps `Backtest.run` of whichever library is there. What comes back
//! is written by a process in which code ran that nobody vouches for: [`Message`] takes it apart and checks every
//! number before anything else sees it.

mod bars;
mod environment;
mod log;
mod message;
mod pool;
mod request;
pub mod setup;
mod stats;
mod wire;
mod worker;

pub use bars::{ArrowBars, BarsImage, sealed};
pub use environment::{Environment, EnvironmentError, Need, Package};
pub use log::{Bounded, Log};
pub use message::{FailedRun, Fault, Frame, Hint, OpenPosition, ScriptEnd, ScriptRun, ScriptTrade, Shape};
pub use pool::{Workers, WorkersConfig};
pub use request::{Beside, Engine, RunLimits, ScriptAccount, ScriptRequest, Work};
pub use stats::Stats;
pub use wire::Message;
pub use worker::{Ended, Finish, Ready, TABLES, Worker, WorkerError};
