//! The simulated world: processes that run the real elector, a network, and an API server that compares versions.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use fastrand::Rng;

use super::*;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The process takes its next step.
    Wake { process: usize, request: u64 },
    /// A request reaches the API server.
    Arrive { process: usize, request: u64 },
    /// An answer or a timeout reaches the process.
    Answer { process: usize, request: u64, arrived: bool },
    /// Random faults, once per second.
    Faults,
    /// A process tries to write to AWS.
    Work { process: usize },
}

pub(super) struct Process {
    pub(super) elector: Elector,
    identity: String,
    /// Its clock at time zero, and how much faster it runs, in ppm.
    clock: (Duration, i64),
    frozen_until: Duration,
    pub(super) alive: bool,
    /// Number of the request that it waits for.
    waits_for: u64,
    pub(super) writes_until: Duration,
}

impl Process {
    fn new(identity: String, now: Duration, rng: &mut Rng) -> Self {
        let clock = (ms(rng.u64(0..1_000_000_000)), rng.i64(-2_000..2_000));
        let mut process = Self {
            elector: Elector::new(identity.clone(), TIMING),
            identity,
            clock,
            frozen_until: now,
            alive: true,
            waits_for: 0,
            writes_until: Duration::ZERO,
        };
        process.elector.due = process.clock(now);
        process
    }

    fn clock(&self, now: Duration) -> Duration {
        let (start, drift) = self.clock;
        let drifted = i64::try_from(now.as_micros()).unwrap_or(i64::MAX) / 1_000_000 * drift;
        let shown = i64::try_from((start + now).as_micros()).unwrap_or(i64::MAX) + drifted;
        Duration::from_micros(u64::try_from(shown).unwrap_or_default())
    }

    pub(super) fn may_write(&self, now: Duration, whole_timeout: Duration) -> bool {
        let held_until = self.elector.held_until();
        self.alive && held_until.is_some_and(|until| self.clock(now) + whole_timeout < until)
    }
}

pub(super) struct World {
    pub(super) now: Duration,
    rng: Rng,
    pub(super) faults: Faults,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    number: u64,
    requests: HashMap<u64, Request>,
    answers: HashMap<u64, Answer>,
    lease: Option<Observed>,
    version: u64,
    created: Duration,
    pub(super) processes: Vec<Process>,
}

impl World {
    pub(super) fn new(seed: u64, candidates: usize, faults: Faults) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            rng: Rng::with_seed(seed),
            faults,
            events: BinaryHeap::new(),
            number: 0,
            requests: HashMap::new(),
            answers: HashMap::new(),
            lease: None,
            version: 0,
            created: Duration::ZERO,
            processes: Vec::new(),
        };
        for candidate in 0..candidates {
            let after = ms(world.rng.u64(0..3_000));
            world.start(format!("candidate-{candidate}"), after);
        }
        world.at(Duration::ZERO, Event::Faults);
        world
    }

    fn at(&mut self, after: Duration, event: Event) {
        let number = self.token();
        self.events.push(Reverse((self.now + after, number, event)));
    }

    /// A unique number.
    fn token(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn chance(&mut self, of: u64, whole: u64) -> bool {
        self.rng.u64(0..whole) < of
    }

    fn start(&mut self, identity: String, after: Duration) {
        let process = self.processes.len();
        let new = Process::new(identity, self.now, &mut self.rng);
        self.processes.push(new);
        self.at(after, Event::Wake { process, request: 0 });
        self.at(after, Event::Work { process });
    }

    /// Runs for this long. `Err` describes a violation of the rule.
    pub(super) fn run(&mut self, length: Duration) -> Result<(), String> {
        let end = self.now + length;
        while let Some(Reverse((time, number, event))) = self.events.pop() {
            if time > end {
                self.events.push(Reverse((time, number, event)));
                break;
            }
            self.now = time;
            self.handle(event);
            self.check()?;
        }
        self.now = end;
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        for (i, leader) in self.processes.iter().enumerate() {
            if !leader.may_write(self.now, Duration::ZERO) {
                continue;
            }
            for (j, other) in self.processes.iter().enumerate().filter(|(j, _)| *j != i) {
                if other.may_write(self.now, Duration::ZERO) {
                    return Err(format!("{:?}: processes {i} and {j} both lead", self.now));
                }
                if other.writes_until > self.now && other.identity != leader.identity {
                    return Err(format!("{:?}: process {i} leads while a write of {j} is in progress", self.now));
                }
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive { process, request } => self.serve(process, request),
            Event::Faults => self.inject_faults(),
            Event::Wake { process, .. } | Event::Work { process } | Event::Answer { process, .. } => {
                let Process { alive, frozen_until, .. } = self.processes[process];
                if !alive {
                    return;
                }
                if frozen_until > self.now {
                    self.at(frozen_until.saturating_sub(self.now), event);
                    return;
                }
                match event {
                    Event::Wake { request, .. } => self.wake(process, request),
                    Event::Answer { request, arrived, .. } => self.answer(process, request, arrived),
                    _ => self.work(process),
                }
            }
        }
    }

    fn wake(&mut self, index: usize, request: u64) {
        let token = self.token();
        let process = &mut self.processes[index];
        if process.waits_for != request {
            return;
        }
        let clock = process.clock(self.now);
        let wall = Timestamp::from_microsecond(i64::try_from(token).unwrap_or_default()).unwrap_or_default();
        match process.elector.next(clock, wall) {
            Step::Done => process.alive = false,
            Step::WaitUntil(until) => {
                let wait = until.saturating_sub(clock).max(ms(1));
                self.at(wait, Event::Wake { process: index, request });
            }
            Step::Send(request) => {
                process.waits_for = token;
                self.requests.insert(token, request);
                let delay = ms(self.rng.u64(0..=self.faults.delay));
                if !self.chance(self.faults.lost, 100) {
                    self.at(delay, Event::Arrive { process: index, request: token });
                }
                self.at(REQUEST_TIMEOUT, Event::Answer { process: index, request: token, arrived: false });
            }
        }
    }

    /// The API server's side. A late request is executed, even if its process no longer waits for the answer.
    fn serve(&mut self, index: usize, request: u64) {
        let Some(asked) = self.requests.remove(&request) else {
            return;
        };
        let answer = match (asked, self.lease.clone()) {
            (Request::Read, Some(lease)) => Answer::Found(lease),
            (Request::Read | Request::Replace { .. }, None) => Answer::Absent,
            (Request::Create(claim), None) => self.store(claim),
            (Request::Replace { version, claim }, Some(lease)) if lease.version == version => self.store(claim),
            (Request::Create(_) | Request::Replace { .. }, Some(_)) => Answer::Conflict,
        };
        self.answers.insert(request, answer);
        let delay = ms(self.rng.u64(0..=self.faults.delay));
        if !self.chance(self.faults.lost, 100) {
            self.at(delay, Event::Answer { process: index, request, arrived: true });
        }
    }

    fn store(&mut self, claim: Claim) -> Answer {
        self.version += 1;
        if self.lease.is_none() {
            self.created = self.now;
        }
        let observed = Observed { version: self.version.to_string(), claim };
        self.lease = Some(observed.clone());
        Answer::Written(observed)
    }

    fn answer(&mut self, index: usize, request: u64, arrived: bool) {
        let token = self.token();
        let process = &mut self.processes[index];
        if process.waits_for != request {
            return;
        }
        let answer = self.answers.remove(&request).filter(|_| arrived).unwrap_or(Answer::Failed);
        process.elector.answered(process.clock(self.now), answer);
        process.waits_for = token;
        self.at(Duration::ZERO, Event::Wake { process: index, request: token });
    }

    /// A clean shutdown.
    pub(super) fn release(&mut self, index: usize) {
        let token = self.token();
        let process = &mut self.processes[index];
        process.elector.release(process.clock(self.now));
        process.waits_for = token;
        self.at(Duration::ZERO, Event::Wake { process: index, request: token });
    }

    fn work(&mut self, index: usize) {
        let takes = ms(self.rng.u64(0..=3_000));
        let process = &mut self.processes[index];
        if process.may_write(self.now, WRITE_TIMEOUT) {
            process.writes_until = self.now + takes;
        }
        let pause = ms(self.rng.u64(0..500));
        self.at(takes + pause, Event::Work { process: index });
    }

    fn inject_faults(&mut self) {
        let Faults { freeze, kill, release, delete, .. } = self.faults;
        for index in 0..self.processes.len() {
            if !self.processes[index].alive {
                continue;
            }
            if self.chance(freeze, 1_000) {
                self.processes[index].frozen_until = self.now + ms(self.rng.u64(0..25_000));
            }
            // The successor of a process that shuts down has started already.
            if self.processes[index].elector.releasing {
                continue;
            }
            let another = format!("candidate-{}", self.token());
            if self.chance(kill, 1_000) {
                self.processes[index].alive = false;
                let same = self.processes[index].identity.clone();
                let identity = if self.rng.bool() { same } else { another };
                let after = ms(self.rng.u64(0..3_000));
                self.start(identity, after);
            } else if self.chance(release, 1_000) && self.processes[index].writes_until <= self.now {
                self.release(index);
                self.start(another, ms(500));
            }
        }
        let all_know = self.processes.iter().all(|process| !process.elector.newcomer);
        // Not a Lease that was just created: an absence between two reads cannot be observed.
        let old = self.now > self.created + TIMING.duration;
        if delete && all_know && old && self.lease.is_some() && self.chance(50, 1_000) {
            self.lease = None;
        }
        self.at(ms(1_000), Event::Faults);
    }

    pub(super) fn leaders(&self) -> Vec<usize> {
        let leads = |index: &usize| self.processes[*index].may_write(self.now, Duration::ZERO);
        (0..self.processes.len()).filter(leads).collect()
    }
}
