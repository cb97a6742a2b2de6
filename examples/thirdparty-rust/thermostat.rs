// SPDX-License-Identifier: Apache-2.0
//! org.example.thermostat, in Rust: switches the heat on half a degree below the target and off half a
//! degree above it. ../thirdparty-c/thermostat.c says what it does; this one does the same, to the byte.

use berth::{reject, Birth, Call, Event, Failure, Reader, Status};

const SILENCE_TIMER: u64 = 1;
const SILENCE_NS: i64 = 600_000_000_000;
const MARGIN: i64 = 500;

#[derive(Default)]
struct Thermostat {
    target: i64,
    last: i64,
    readings: u64,
    heating: bool,
    silent: bool,
}

fn digits(text: &[u8], most: usize) -> Option<&[u8]> {
    let good = (1..=most).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    good.then(|| text)
}

/// "-12.345" in thousandths; up to three digits on either side of the dot.
fn parse_degrees(mut text: &[u8]) -> Option<i64> {
    while let [rest @ .., b'\n' | b' '] = text {
        text = rest;
    }
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut parts = text.splitn(2, |&c| c == b'.');
    let mut value = 0;
    for c in digits(parts.next()?, 3)? {
        value = value * 10 + i64::from(c - b'0') * 1000;
    }
    if let Some(fraction) = parts.next() {
        let mut scale = 1000;
        for c in digits(fraction, 3)? {
            scale /= 10;
            value += i64::from(c - b'0') * scale;
        }
    }
    Some(if negative { -value } else { value })
}

impl Thermostat {
    fn read(&mut self, version: u32, state: &[u8]) -> Option<()> {
        let mut r = Reader(state);
        self.last = r.i64()?;
        let heating = r.u8()?;
        let mut silent = 0;
        if version >= 2 {
            self.readings = r.u64()?;
            silent = r.u8()?;
        }
        self.heating = heating == 1;
        self.silent = silent == 1;
        (r.done() && heating <= 1 && silent <= 1).then(|| ())
    }

    fn heat(&mut self, call: &mut Call, on: bool) -> Result<(), Failure> {
        self.heating = on;
        call.emit(if on { b"heat on" } else { b"heat off" })
    }
}

impl berth::Daemon for Thermostat {
    const STATE: bool = true;
    const STATUS: bool = true;
    const ON_START: bool = true;
    const ON_TIMER: bool = true;

    fn create(birth: &Birth) -> Result<Self, Failure> {
        let mut t = Thermostat { target: 20_000, ..Default::default() };
        if let Some((version, _)) = birth.state() {
            if !(1..=2).contains(&version) {
                return Err(Failure::new(berth::E_VERSION, "state versions 1 and 2 are read"));
            }
        }
        if !birth.config().is_empty() {
            t.target = parse_degrees(birth.config()).ok_or_else(|| {
                Failure::new(berth::E_CONFIG, "the target must be degrees, as 21.5")
            })?;
        }
        if let Some((version, state)) = birth.state() {
            t.read(version, state)
                .ok_or_else(|| Failure::new(berth::E_STATE, "the state is damaged"))?;
        }
        Ok(t)
    }

    fn on_start(&mut self, call: &mut Call, event: &Event) -> Result<(), Failure> {
        // A daemon that continues has its timer still.
        if event.status() != berth::START_NEW {
            return Ok(());
        }
        call.timer_set(SILENCE_TIMER, SILENCE_NS, b"")
    }

    fn process(&mut self, call: &mut Call, event: &Event) -> Result<(), Failure> {
        let reading = parse_degrees(event.data())
            .ok_or_else(|| reject("a reading must be degrees, as 20.4"))?;
        self.last = reading;
        self.readings += 1;
        self.silent = false;
        if !self.heating && reading < self.target - MARGIN {
            self.heat(call, true)?;
        } else if self.heating && reading > self.target + MARGIN {
            self.heat(call, false)?;
        }
        call.timer_set(SILENCE_TIMER, SILENCE_NS, b"")
    }

    fn on_timer(&mut self, call: &mut Call, event: &Event) -> Result<(), Failure> {
        if event.request() != SILENCE_TIMER {
            return Ok(());
        }
        self.silent = true;
        if self.heating {
            self.heat(call, false)?;
        }
        Ok(())
    }

    fn snapshot(&self, version: u32) -> Result<Vec<u8>, Failure> {
        if !(1..=2).contains(&version) {
            return Err(Failure::new(berth::E_VERSION, ""));
        }
        let mut state = self.last.to_le_bytes().to_vec();
        state.push(u8::from(self.heating));
        if version >= 2 {
            state.extend_from_slice(&self.readings.to_le_bytes());
            state.push(u8::from(self.silent));
        }
        Ok(state)
    }

    fn status(&self) -> Status {
        let health = if self.silent { berth::DEGRADED } else { berth::HEALTHY };
        Status { health, state_bytes: 18, ..Default::default() }
    }
}

berth::plugin!("berth.json", "org.example.thermostat" => Thermostat);
