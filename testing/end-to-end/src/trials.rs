//! The cases of one network as tests, each reported by its own name. The network is started once, by
//! the first case that runs, and the cases run in their order on it: each finds what those before it
//! left.

use libtest_mimic::{Arguments, Failed, Trial};
use std::{
	future::Future,
	panic::AssertUnwindSafe,
	pin::Pin,
	process::ExitCode,
	sync::{Arc, Mutex, PoisonError},
	time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// How long one case may take. A bound, not an expectation.
pub const CASE_TIME_MAX: Duration = Duration::from_secs(8 * 60);

/// What the cases of one network share.
pub trait Stage: Send + Sized + 'static {
	/// Starts the network.
	fn start() -> impl Future<Output = anyhow::Result<Self>>;

	/// What its processes wrote last, for whoever looks for the reason of a failure.
	fn last_words(&self) -> String;
}

/// What a case does while it runs.
pub type Showing<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// A property, and the function that shows it.
pub struct Case<S> {
	pub name: &'static str,
	pub show: fn(&mut S) -> Showing<'_>,
}

/// Cases by the functions that show them, each named as its function.
#[macro_export]
macro_rules! cases {
	($($($path:ident)::+),* $(,)?) => {
		vec![$($crate::trials::Case {
			name: $crate::last_name!($($path)::+),
			show: |stage| Box::pin($($path)::+(stage)),
		}),*]
	};
}

/// The last name of a path, as a text.
#[macro_export]
macro_rules! last_name {
	($name:ident) => { stringify!($name) };
	($first:ident :: $($rest:ident)::+) => { $crate::last_name!($($rest)::+) };
}

enum Network<S> {
	NotStarted,
	Up(S),
	/// Why, for every case that needs it.
	Failed(String),
}

/// Runs the cases that the command line asks for, as cargo's tests do.
pub fn run<S: Stage>(network: &'static str, cases: Vec<Case<S>>) -> ExitCode {
	run_unless(None, network, cases)
}

/// The same, unless this machine cannot: then all are reported as ignored, after the reason.
pub fn run_unless<S: Stage>(
	reason: Option<String>,
	network: &'static str,
	cases: Vec<Case<S>>,
) -> ExitCode {
	if let Some(reason) = &reason {
		println!("{network} is not run: {reason}");
	}
	let mut arguments = Arguments::from_args();
	// One after the other, in their order.
	arguments.test_threads = Some(1);
	let runtime = match Runtime::new() {
		Ok(runtime) => Arc::new(runtime),
		Err(error) => {
			eprintln!("the system gives no threads: {error}");
			return ExitCode::FAILURE;
		}
	};
	let stage = Arc::new(Mutex::new(Network::<S>::NotStarted));
	let took = Arc::new(Mutex::new(Vec::new()));
	let trials = cases.into_iter().map(|Case { name, show }| {
		let (runtime, stage, took) = (runtime.clone(), stage.clone(), took.clone());
		let trial = move || {
			let started = Instant::now();
			let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
			let showing = AssertUnwindSafe(|| runtime.block_on(show_on(&mut stage, show)));
			let shown = std::panic::catch_unwind(showing).unwrap_or_else(|_| {
				let last_words = match &*stage {
					Network::Up(stage) => stage.last_words(),
					_ => String::new(),
				};
				Err(format!("it panicked, as said above\n\n{last_words}").into())
			});
			let mut took = took.lock().unwrap_or_else(PoisonError::into_inner);
			took.push((name, started.elapsed()));
			shown
		};
		Trial::test(name, trial).with_kind(network).with_ignored_flag(reason.is_some())
	});
	let conclusion = libtest_mimic::run(&arguments, trials.collect());
	for (name, took) in took.lock().unwrap_or_else(PoisonError::into_inner).iter() {
		// For the list of the slowest tests: see scripts/test.sh.
		println!("took {:.1} s: {network}::{name}", took.as_secs_f64());
	}
	let _entered = runtime.enter();
	// Ends all children.
	*stage.lock().unwrap_or_else(PoisonError::into_inner) = Network::NotStarted;
	if conclusion.has_failed() {
		ExitCode::FAILURE
	} else {
		ExitCode::SUCCESS
	}
}

async fn show_on<S: Stage>(
	network: &mut Network<S>,
	show: fn(&mut S) -> Showing<'_>,
) -> Result<(), Failed> {
	if let Network::NotStarted = network {
		*network = match S::start().await {
			Ok(stage) => Network::Up(stage),
			Err(error) => Network::Failed(format!("the network does not start: {error:#}")),
		};
	}
	let stage = match network {
		Network::Up(stage) => stage,
		Network::Failed(why) => return Err(why.as_str().into()),
		Network::NotStarted => return Err("the network was not started".into()),
	};
	let error = match tokio::time::timeout(CASE_TIME_MAX, show(stage)).await {
		Ok(Ok(())) => return Ok(()),
		Ok(Err(error)) => format!("{error:?}"),
		Err(_) => format!("it takes longer than {} s", CASE_TIME_MAX.as_secs()),
	};
	Err(format!("{error}\n\n{}", stage.last_words()).into())
}
