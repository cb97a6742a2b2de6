// SPDX-License-Identifier: Apache-2.0
//! Berth plugins in Rust, with `rustc` alone: the contract of `berth/abi.h` (ABI 0.0) and a safe layer
//! over it. Compile it as a library and link it in:
//!
//! ```text
//! rustc --edition 2021 -O --crate-type rlib --crate-name berth berth.rs
//! rustc --edition 2021 -O --crate-type cdylib --extern berth=libberth.rlib -o hello.so hello.rs
//! ```
//!
//! A daemon is a type that implements [`Daemon`]; [`plugin!`] makes the table and the manifest's note.
//! A panic in any function becomes `E_BROKEN`: the host destroys the instance and rebuilds the daemon
//! from its last snapshot. Needs Rust 1.63.

use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{catch_unwind, AssertUnwindSafe};

pub type Code = i32;
pub const OK: Code = 0;
pub const E_REJECT: Code = 1;
pub const E_BROKEN: Code = 2;
pub const E_NOT_NOW: Code = 3;
pub const E_LIMIT: Code = 4;
pub const E_ARGUMENT: Code = 5;
pub const E_NEWER: Code = 6;
pub const E_FULL: Code = 7;
pub const E_VERSION: Code = 8;
pub const E_STATE: Code = 9;
pub const E_CONFIG: Code = 10;
pub const E_MEMORY: Code = 11;

pub const START_NEW: i32 = 1;
pub const REPLY_OK: i32 = 0;
pub const HEALTHY: i32 = 0;
pub const DEGRADED: i32 = 1;
pub const UNHEALTHY: i32 = 2;

/// The structs of `berth/abi.h`, member by member; see there for their meaning.
pub mod abi {
    use super::Code;
    use std::ffi::c_void;

    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct Bytes {
        pub ptr: *const c_void,
        pub len: u64,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
    pub struct Ref {
        pub w: [u64; 4],
    }

    #[repr(C)]
    pub struct Event {
        pub size: u32,
        pub kind: u16,
        pub flags: u16,
        pub origin: u64,
        pub sequence: u64,
        pub time_ns: i64,
        pub seed: [u64; 2],
        pub data: Bytes,
        pub channel: Bytes,
        pub reply_to: Ref,
        pub request: u64,
        pub status: i32,
        pub attempt: u32,
    }

    #[repr(C)]
    pub struct Birth {
        pub size: u32,
        pub state_version: u32,
        pub origin: u64,
        pub daemon: *mut DaemonHandle,
        pub name: Bytes,
        pub config: Bytes,
        pub state: Bytes,
        pub max_event: u64,
        pub max_outputs: u64,
        pub max_output_bytes: u64,
        pub max_state: u64,
        pub time_ns: i64,
        pub seed: [u64; 2],
    }

    #[repr(C)]
    pub struct Output {
        pub size: u32,
        pub to: u16,
        pub flags: u16,
        pub data: Bytes,
        pub origin: u64,
        pub channel: Bytes,
        pub reply_to: Ref,
        pub request: u64,
        pub delay_ns: i64,
    }

    #[repr(C)]
    pub struct Subscription {
        pub size: u32,
        pub flags: u32,
        pub publisher: u64,
        pub channel: Bytes,
    }

    #[repr(C)]
    pub struct Spawn {
        pub size: u32,
        pub flags: u32,
        pub kind: Bytes,
        pub name: Bytes,
        pub config: Bytes,
        pub request: u64,
    }

    #[repr(C)]
    pub struct CallApi {
        pub size: u32,
        pub reserved: u32,
        pub emit: unsafe extern "C" fn(*mut CallHandle, *const c_void, u64) -> Code,
        pub output: unsafe extern "C" fn(*mut CallHandle, *const Output) -> Code,
        pub reserve: unsafe extern "C" fn(*mut CallHandle, u64) -> *mut c_void,
        pub commit: unsafe extern "C" fn(*mut CallHandle, u64) -> Code,
        pub write: unsafe extern "C" fn(*mut CallHandle, *const c_void, u64) -> Code,
        pub fail: unsafe extern "C" fn(*mut CallHandle, Code, *const u8, u64) -> Code,
        pub subscribe: unsafe extern "C" fn(*mut CallHandle, *const Subscription) -> Code,
        pub unsubscribe: unsafe extern "C" fn(*mut CallHandle, *const Subscription) -> Code,
        pub spawn: unsafe extern "C" fn(*mut CallHandle, *const Spawn) -> Code,
    }

    #[repr(C)]
    pub struct CallHandle {
        pub api: *const CallApi,
    }

    #[repr(C)]
    pub struct Host {
        pub size: u32,
        pub abi_minor: u32,
        pub log: unsafe extern "C" fn(*const Host, *mut DaemonHandle, i32, *const Bytes),
        pub post: unsafe extern "C" fn(*mut DaemonHandle, *const c_void, u64) -> Code,
        pub extension: unsafe extern "C" fn(*const Host, *const u8) -> *const c_void,
    }

    #[repr(C)]
    pub struct DaemonHandle {
        pub host: *const Host,
    }

    #[repr(C)]
    pub struct Status {
        pub size: u32,
        pub health: i32,
        pub saturation_ppm: u32,
        pub reserved: u32,
        pub state_bytes: u64,
    }

    pub type Handler = unsafe extern "C" fn(*mut c_void, *mut CallHandle, *const Event) -> Code;

    #[repr(C)]
    pub struct Kind {
        pub size: u32,
        pub reserved: u32,
        pub name: Bytes,
        pub create: unsafe extern "C" fn(*mut CallHandle, *const Birth, *mut *mut c_void) -> Code,
        pub destroy: unsafe extern "C" fn(*mut c_void, *mut CallHandle),
        pub process: Handler,
        pub snapshot: Option<unsafe extern "C" fn(*mut c_void, *mut CallHandle, u32) -> Code>,
        pub status: Option<unsafe extern "C" fn(*mut c_void, *mut CallHandle, *mut Status) -> Code>,
        pub on_start: Option<Handler>,
        pub on_timer: Option<Handler>,
        pub on_reply: Option<Handler>,
        pub on_post: Option<Handler>,
        pub on_control: Option<Handler>,
        pub extension: Option<unsafe extern "C" fn(*const u8) -> *const c_void>,
    }

    /// The manifest's note: N bytes of JSON, padded to 4.
    #[repr(C, align(4))]
    pub struct Note<const N: usize> {
        pub owner_size: u32,
        pub json_size: u32,
        pub kind: u32,
        pub owner: [u8; 8],
        pub json: [u8; N],
    }

    #[repr(C)]
    pub struct Plugin {
        pub size: u32,
        pub kind_count: u32,
        pub kinds: *const *const Kind,
        pub manifest: *const c_void,
        pub init: Option<unsafe extern "C" fn(*const Host) -> Code>,
        pub deinit: Option<unsafe extern "C" fn()>,
        pub extension: Option<unsafe extern "C" fn(*const u8) -> *const c_void>,
    }

    // Tables are never written to.
    unsafe impl Sync for Kind {}
    unsafe impl Sync for Plugin {}
    unsafe impl Sync for KindList {}

    /// A pointer to a kind, as the table wants them.
    #[repr(transparent)]
    pub struct KindList(pub *const Kind);
}

fn bytes(from: &[u8]) -> abi::Bytes {
    abi::Bytes { ptr: from.as_ptr().cast(), len: from.len() as u64 }
}

/// Borrow what the host passed in; it lives as long as the call.
unsafe fn slice<'a>(from: &abi::Bytes) -> &'a [u8] {
    if from.ptr.is_null() {
        &[]
    } else {
        std::slice::from_raw_parts(from.ptr.cast(), from.len as usize)
    }
}

/// Why a function did not do it: a code for the host, a text for people.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub text: String,
}

impl Failure {
    pub fn new(code: Code, text: impl fmt::Display) -> Failure {
        Failure { code, text: text.to_string() }
    }
}

/// The event is refused; the state is as before.
pub fn reject(text: impl fmt::Display) -> Failure {
    Failure::new(E_REJECT, text)
}

fn check(code: Code) -> Result<(), Failure> {
    if code == OK {
        Ok(())
    } else {
        Err(Failure { code, text: String::new() })
    }
}

/// What happened; borrowed for the call.
pub struct Event<'a>(&'a abi::Event);

impl<'a> Event<'a> {
    pub fn data(&self) -> &'a [u8] {
        unsafe { slice(&self.0.data) }
    }
    pub fn channel(&self) -> &'a [u8] {
        unsafe { slice(&self.0.channel) }
    }
    pub fn origin(&self) -> u64 {
        self.0.origin
    }
    pub fn time_ns(&self) -> i64 {
        self.0.time_ns
    }
    pub fn seed(&self) -> [u64; 2] {
        self.0.seed
    }
    pub fn reply_to(&self) -> abi::Ref {
        self.0.reply_to
    }
    /// The number of a timer or request; the operand of a control.
    pub fn request(&self) -> u64 {
        self.0.request
    }
    /// START_*, REPLY_* or the control.
    pub fn status(&self) -> i32 {
        self.0.status
    }
    pub fn flags(&self) -> u16 {
        self.0.flags
    }
}

/// What create gets; borrowed for the call.
pub struct Birth<'a>(&'a abi::Birth);

impl<'a> Birth<'a> {
    pub fn origin(&self) -> u64 {
        self.0.origin
    }
    pub fn config(&self) -> &'a [u8] {
        unsafe { slice(&self.0.config) }
    }
    /// The state to continue from with the version that wrote it; None: born new.
    pub fn state(&self) -> Option<(u32, &'a [u8])> {
        if self.0.state.ptr.is_null() {
            None
        } else {
            Some((self.0.state_version, unsafe { slice(&self.0.state) }))
        }
    }
    pub fn log(&self) -> Log {
        Log(self.0.daemon)
    }
}

/// The host's log and mailbox, from any thread, until the daemon is dropped.
#[derive(Clone, Copy)]
pub struct Log(*mut abi::DaemonHandle);

unsafe impl Send for Log {}
unsafe impl Sync for Log {}

impl Log {
    /// level: 0 error, 1 warn, 2 info, 3 debug.
    pub fn line(&self, level: i32, text: &str) {
        unsafe { ((*(*self.0).host).log)((*self.0).host, self.0, level, &bytes(text.as_bytes())) }
    }
    pub fn post(&self, data: &[u8]) -> Result<(), Failure> {
        let b = bytes(data);
        check(unsafe { ((*(*self.0).host).post)(self.0, b.ptr, b.len) })
    }
}

/// The running call: what it records happens when the handler returns Ok.
pub struct Call<'a>(*mut abi::CallHandle, PhantomData<&'a ()>);

impl<'a> Call<'a> {
    fn api(&self) -> &'a abi::CallApi {
        unsafe { &*(*self.0).api }
    }

    fn output(&mut self, to: u16, fill: impl FnOnce(&mut abi::Output)) -> Result<(), Failure> {
        let mut o = abi::Output {
            size: std::mem::size_of::<abi::Output>() as u32,
            to,
            flags: 0,
            data: bytes(&[]),
            origin: 0,
            channel: bytes(&[]),
            reply_to: abi::Ref::default(),
            request: 0,
            delay_ns: 0,
        };
        fill(&mut o);
        check(unsafe { (self.api().output)(self.0, &o) })
    }

    /// Output to whoever waits for this event.
    pub fn emit(&mut self, data: &[u8]) -> Result<(), Failure> {
        let b = bytes(data);
        check(unsafe { (self.api().emit)(self.0, b.ptr, b.len) })
    }

    /// A message to another daemon.
    pub fn send(&mut self, origin: u64, data: &[u8]) -> Result<(), Failure> {
        self.output(1, |o| {
            o.origin = origin;
            o.data = bytes(data);
        })
    }

    /// A message that is to be answered; on_reply will show the number. timeout_ns 0: 30 s.
    pub fn request(
        &mut self,
        origin: u64,
        number: u64,
        timeout_ns: i64,
        data: &[u8],
    ) -> Result<(), Failure> {
        self.output(1, |o| {
            o.origin = origin;
            o.request = number;
            o.delay_ns = timeout_ns;
            o.data = bytes(data);
        })
    }

    /// To everyone who is subscribed to the channel.
    pub fn publish(&mut self, channel: &str, data: &[u8]) -> Result<(), Failure> {
        self.output(2, |o| {
            o.channel = bytes(channel.as_bytes());
            o.data = bytes(data);
        })
    }

    /// The answer to a request.
    pub fn reply(&mut self, to: &abi::Ref, data: &[u8]) -> Result<(), Failure> {
        self.output(3, |o| {
            o.reply_to = *to;
            o.data = bytes(data);
        })
    }

    /// on_timer in delay_ns; replaces the timer with this number.
    pub fn timer_set(&mut self, number: u64, delay_ns: i64, data: &[u8]) -> Result<(), Failure> {
        self.output(4, |o| {
            o.request = number;
            o.delay_ns = delay_ns;
            o.data = bytes(data);
        })
    }

    pub fn timer_cancel(&mut self, number: u64) -> Result<(), Failure> {
        self.output(4, |o| {
            o.flags = 2;
            o.request = number;
        })
    }

    /// From now on hear the channel.
    pub fn subscribe(&mut self, channel: &str) -> Result<(), Failure> {
        let s = abi::Subscription {
            size: std::mem::size_of::<abi::Subscription>() as u32,
            flags: 0,
            publisher: 0,
            channel: bytes(channel.as_bytes()),
        };
        check(unsafe { (self.api().subscribe)(self.0, &s) })
    }
}

/// Reads a state; never past its end. None: it is too short.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        if len > self.0.len() {
            return None;
        }
        let (head, tail) = self.0.split_at(len);
        self.0 = tail;
        Some(head)
    }
    pub fn u8(&mut self) -> Option<u8> {
        Some(self.bytes(1)?[0])
    }
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }
    pub fn i64(&mut self) -> Option<i64> {
        Some(self.u64()? as i64)
    }
    pub fn done(&self) -> bool {
        self.0.is_empty()
    }
}

/// How a daemon is.
#[derive(Default)]
pub struct Status {
    pub health: i32,
    pub saturation_ppm: u32,
    pub state_bytes: u64,
}

/// A kind of daemon. Each handler that is there needs its constant set to true: a kind without it is
/// never sent such events.
pub trait Daemon: Sized {
    const STATE: bool = false;
    const STATUS: bool = false;
    const ON_START: bool = false;
    const ON_TIMER: bool = false;
    const ON_REPLY: bool = false;
    const ON_POST: bool = false;
    const ON_CONTROL: bool = false;

    fn create(birth: &Birth) -> Result<Self, Failure>;
    fn process(&mut self, call: &mut Call, event: &Event) -> Result<(), Failure>;

    /// The state in this version of its format; the same state gives the same bytes.
    fn snapshot(&self, _version: u32) -> Result<Vec<u8>, Failure> {
        Err(Failure::new(E_VERSION, ""))
    }
    fn status(&self) -> Status {
        Status::default()
    }
    fn on_start(&mut self, _call: &mut Call, _event: &Event) -> Result<(), Failure> {
        Ok(())
    }
    fn on_timer(&mut self, _call: &mut Call, _event: &Event) -> Result<(), Failure> {
        Ok(())
    }
    fn on_reply(&mut self, _call: &mut Call, _event: &Event) -> Result<(), Failure> {
        Ok(())
    }
    fn on_post(&mut self, _call: &mut Call, _event: &Event) -> Result<(), Failure> {
        Ok(())
    }
    fn on_control(&mut self, _call: &mut Call, _event: &Event) -> Result<(), Failure> {
        Ok(())
    }
}

/// Run it; a panic is E_BROKEN, a failure its code with its text told to the host.
unsafe fn guarded(call: *mut abi::CallHandle, run: impl FnOnce() -> Result<(), Failure>) -> Code {
    let failure = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => return OK,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::new(E_BROKEN, "the daemon panicked"),
    };
    if !failure.text.is_empty() {
        let text = failure.text.as_bytes();
        ((*(*call).api).fail)(call, failure.code, text.as_ptr(), text.len() as u64);
    }
    failure.code
}

unsafe extern "C" fn create<T: Daemon>(
    call: *mut abi::CallHandle,
    birth: *const abi::Birth,
    out: *mut *mut c_void,
) -> Code {
    guarded(call, || {
        let daemon = Box::new(T::create(&Birth(&*birth))?);
        // A box of a type without size has no address of its own; any that is not NULL will do.
        *out = Box::into_raw(daemon).cast();
        Ok(())
    })
}

unsafe extern "C" fn destroy<T: Daemon>(this: *mut c_void, _call: *mut abi::CallHandle) {
    // There is nobody left to tell.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(this.cast::<T>()))));
}

macro_rules! handler {
    ($name:ident) => {
        unsafe extern "C" fn $name<T: Daemon>(
            this: *mut c_void,
            call: *mut abi::CallHandle,
            event: *const abi::Event,
        ) -> Code {
            guarded(call, || {
                (*this.cast::<T>()).$name(&mut Call(call, PhantomData), &Event(&*event))
            })
        }
    };
}
handler!(process);
handler!(on_start);
handler!(on_timer);
handler!(on_reply);
handler!(on_post);
handler!(on_control);

unsafe extern "C" fn snapshot<T: Daemon>(
    this: *mut c_void,
    call: *mut abi::CallHandle,
    version: u32,
) -> Code {
    guarded(call, || {
        let state = (*this.cast::<T>()).snapshot(version)?;
        let b = bytes(&state);
        check(((*(*call).api).write)(call, b.ptr, b.len))
    })
}

unsafe extern "C" fn status<T: Daemon>(
    this: *mut c_void,
    call: *mut abi::CallHandle,
    out: *mut abi::Status,
) -> Code {
    guarded(call, || {
        let status = (*this.cast::<T>()).status();
        (*out).health = status.health;
        (*out).saturation_ppm = status.saturation_ppm;
        (*out).state_bytes = status.state_bytes;
        Ok(())
    })
}

/// The table of a kind. For plugin!.
pub const fn kind_of<T: Daemon>(name: &'static str) -> abi::Kind {
    abi::Kind {
        size: std::mem::size_of::<abi::Kind>() as u32,
        reserved: 0,
        name: abi::Bytes { ptr: name.as_ptr() as *const c_void, len: name.len() as u64 },
        create: create::<T>,
        destroy: destroy::<T>,
        process: process::<T>,
        snapshot: if T::STATE { Some(snapshot::<T>) } else { None },
        status: if T::STATUS { Some(status::<T>) } else { None },
        on_start: if T::ON_START { Some(on_start::<T>) } else { None },
        on_timer: if T::ON_TIMER { Some(on_timer::<T>) } else { None },
        on_reply: if T::ON_REPLY { Some(on_reply::<T>) } else { None },
        on_post: if T::ON_POST { Some(on_post::<T>) } else { None },
        on_control: if T::ON_CONTROL { Some(on_control::<T>) } else { None },
        extension: None,
    }
}

/// `berth::plugin!("berth.json", "org.example.one" => One, "org.example.two" => Two);` once per plugin:
/// the manifest (a path as for `include_bytes!`) and its kinds.
#[macro_export]
macro_rules! plugin {
    ($manifest:literal, $($name:literal => $daemon:ty),+ $(,)?) => {
        const BERTH_JSON_LEN: usize = include_bytes!($manifest).len();

        #[used]
        #[link_section = ".note.berth"]
        static BERTH_NOTE: $crate::abi::Note<BERTH_JSON_LEN> = $crate::abi::Note {
            owner_size: 6,
            json_size: BERTH_JSON_LEN as u32,
            kind: 0x4245_0000,
            owner: *b"berth\0\0\0",
            json: *include_bytes!($manifest),
        };

        static BERTH_KINDS: &[$crate::abi::KindList] = &[
            $($crate::abi::KindList({
                static KIND: $crate::abi::Kind = $crate::kind_of::<$daemon>($name);
                &KIND
            })),+
        ];

        #[no_mangle]
        #[allow(non_upper_case_globals)]
        pub static berth_plugin_0: $crate::abi::Plugin = $crate::abi::Plugin {
            size: std::mem::size_of::<$crate::abi::Plugin>() as u32,
            kind_count: BERTH_KINDS.len() as u32,
            kinds: BERTH_KINDS.as_ptr() as *const *const $crate::abi::Kind,
            manifest: &BERTH_NOTE as *const _ as *const std::ffi::c_void,
            init: None,
            deinit: None,
            extension: None,
        };
    };
}
