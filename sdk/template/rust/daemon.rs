// SPDX-License-Identifier: Apache-2.0
//! @NAME@: an event is somebody's name; the output greets them. The configuration is the greeting.

use berth::{reject, Birth, Call, Event, Failure, Reader};

const STATE_VERSION: u32 = 1;

struct Greeter {
    /// The state: how many were greeted.
    count: u64,
    greeting: Vec<u8>,
}

fn read(state: &[u8]) -> Option<u64> {
    let mut r = Reader(state);
    let count = r.u64()?;
    r.done().then(|| count)
}

impl berth::Daemon for Greeter {
    const STATE: bool = true;

    /// Born new, or to continue from what snapshot wrote, perhaps on another machine.
    fn create(birth: &Birth) -> Result<Self, Failure> {
        let mut count = 0;
        if let Some((version, state)) = birth.state() {
            if version != STATE_VERSION {
                return Err(Failure::new(berth::E_VERSION, "state version 1 is read"));
            }
            count = read(state)
                .ok_or_else(|| Failure::new(berth::E_STATE, "the state has 8 bytes"))?;
        }
        let greeting = match birth.config() {
            b"" => b"hello".to_vec(),
            config => config.to_vec(),
        };
        Ok(Greeter { count, greeting })
    }

    /// Outputs leave only if this returns Ok; otherwise the state must be as before.
    fn process(&mut self, call: &mut Call, event: &Event) -> Result<(), Failure> {
        if event.data().is_empty() {
            return Err(reject("a name has at least one byte"));
        }
        call.emit(&[&self.greeting[..], b", ", event.data()].concat())?;
        self.count += 1;
        Ok(())
    }

    /// The same state gives the same bytes, on every architecture.
    fn snapshot(&self, version: u32) -> Result<Vec<u8>, Failure> {
        if version != STATE_VERSION {
            return Err(Failure::new(berth::E_VERSION, ""));
        }
        Ok(self.count.to_le_bytes().to_vec())
    }
}

berth::plugin!("berth.json", "@NAME@" => Greeter);
