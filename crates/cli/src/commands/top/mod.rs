//! `tide top`: running tide processes, watched live.

mod model;
mod screen;

use super::Context;
use crate::{
    args::TopArgs,
    exit::{CommandResult, Ending},
    observe::{Answer, PATIENCE, ask_each},
};
use crossterm::{
    event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    terminal,
};
use model::{Model, View};
use ratatui::{Terminal, backend::CrosstermBackend};
use springtide_lab::LabError;
use std::{
    io::{self, IsTerminal, Stdout, stdout},
    sync::mpsc,
    time::{Duration, Instant},
};

/// Shortest time between looks.
const EVERY_MIN: Duration = Duration::from_millis(100);
/// Longest that the keys can set.
const EVERY_MAX: Duration = Duration::from_secs(10);

/// How often is looked for an answer.
const GLANCE: Duration = Duration::from_millis(50);
/// Shortest time that a process has to answer.
const PATIENCE_MIN: Duration = Duration::from_millis(500);

/// Draws until the person quits.
pub fn run(_context: &Context, args: &TopArgs) -> CommandResult {
    if !stdout().is_terminal() {
        return Err(LabError::Usage(
            "tide top needs a terminal; `tide tasks` prints the same as text".into(),
        ));
    }
    let terminal_error = |source| LabError::File { path: "terminal".into(), source };
    let mut screen = Fullscreen::enter().map_err(terminal_error)?;
    let mut model = Model::new(args.pid);
    model.every = args.every.max(EVERY_MIN);
    let mut looker = Looker::start().map_err(|source| LabError::File { path: "asking".into(), source })?;
    loop {
        screen.terminal.draw(|frame| screen::draw(frame, &model)).map_err(terminal_error)?;
        let wait = looker.look(&mut model);
        if !event::poll(wait).map_err(terminal_error)? {
            continue;
        }
        match event::read().map_err(terminal_error)? {
            Event::Key(key) if key.kind == KeyEventKind::Press => {
                let interrupt =
                    key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
                if interrupt || !press(&mut model, key.code) {
                    return Ok(Ending::Ok);
                }
            }
            _ => {}
        }
    }
}

/// Asks all processes from a thread of its own: keys do not wait for one that is slow to answer.
struct Looker {
    /// Each says how long a process may take.
    asks: mpsc::Sender<Duration>,
    answers: mpsc::Receiver<Vec<Answer>>,
    /// Whether an answer is awaited.
    asked: bool,
    next: Instant,
}

impl Looker {
    fn start() -> io::Result<Self> {
        let (asks, asked) = mpsc::channel();
        let (tell, answers) = mpsc::channel();
        // It has nothing to finish: it ends with its channels, or with the process.
        drop(std::thread::Builder::new().name("looker".into()).spawn(move || {
            while let Ok(patience) = asked.recv()
                && tell.send(ask_each(None, "state", patience)).is_ok()
            {}
        })?);
        Ok(Self { asks, answers, asked: false, next: Instant::now() })
    }

    /// Takes what came, asks again when it is time; how long nothing is to be done here.
    fn look(&mut self, model: &mut Model) -> Duration {
        if let Ok(answers) = self.answers.try_recv() {
            self.asked = false;
            if !model.paused {
                model.look(&answers, Instant::now());
            }
        }
        if !self.asked && !model.paused && Instant::now() >= self.next {
            // One that is silent holds up what the others say: no longer than need be. The thread ends only with this.
            self.asked = self.asks.send(model.every.clamp(PATIENCE_MIN, PATIENCE)).is_ok();
            self.next = Instant::now() + model.every;
        }
        match self.asked {
            _ if model.paused => model.every,
            true => GLANCE,
            false => self.next.saturating_duration_since(Instant::now()).max(GLANCE),
        }
    }
}

/// Acts on a key; false to quit.
fn press(model: &mut Model, key: KeyCode) -> bool {
    if model.typing {
        match key {
            KeyCode::Enter => model.typing = false,
            KeyCode::Esc => (model.typing, model.filter) = (false, String::new()),
            KeyCode::Backspace => drop(model.filter.pop()),
            KeyCode::Char(letter) => model.filter.push(letter),
            _ => {}
        }
        model.first_row = 0;
        return true;
    }
    match key {
        // Escape goes back one step at a time.
        KeyCode::Esc if model.help => model.help = false,
        KeyCode::Esc if !model.filter.is_empty() => model.filter.clear(),
        KeyCode::Esc if model.view != View::Overview => model.choose(View::Overview),
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Char('?' | 'h') => model.help = !model.help,
        KeyCode::Char('p') | KeyCode::Char(' ') => model.paused = !model.paused,
        KeyCode::Char('s') => model.sort = model.sort.next(),
        KeyCode::Char('/') => model.typing = true,
        KeyCode::Char('+') => model.every = (model.every / 2).max(EVERY_MIN),
        KeyCode::Char('-') => model.every = (model.every * 2).min(EVERY_MAX),
        KeyCode::Char(digit @ '1'..='6') => {
            model.choose(View::ALL[digit as usize - '1' as usize]);
        }
        KeyCode::Down | KeyCode::Char('j') => model.scroll(1),
        KeyCode::Up | KeyCode::Char('k') => model.scroll(-1),
        KeyCode::PageDown => model.scroll(10),
        KeyCode::PageUp => model.scroll(-10),
        KeyCode::Home | KeyCode::Char('g') => model.scroll(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => model.scroll(isize::MAX),
        KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => model.step(1),
        KeyCode::BackTab | KeyCode::Left => model.step(-1),
        _ => {}
    }
    true
}

/// The terminal while it belongs to us; given back on drop, also after a panic.
struct Fullscreen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Fullscreen {
    fn enter() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let entered = crossterm::execute!(stdout(), terminal::EnterAlternateScreen, crossterm::cursor::Hide);
        let made = entered.and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match made {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }
}

impl Drop for Fullscreen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // Nothing is left to do if the terminal is gone.
    let _ = crossterm::execute!(stdout(), terminal::LeaveAlternateScreen, crossterm::cursor::Show);
    let _ = terminal::disable_raw_mode();
}
