//! Long steps say what they do, that they still do it, and how long it took.

use crate::limits;
use phala_chain_client::ChainClientError;
use std::{
	future::Future,
	time::{Duration, Instant},
};

/// Does a step; its result, and how long it took.
pub async fn step<T>(
	what: &str,
	doing: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(T, Duration)> {
	let started = Instant::now();
	say!("… {what}");
	let mut ticks = tokio::time::interval(limits::PROGRESS_EVERY);
	ticks.tick().await;
	tokio::pin!(doing);
	loop {
		tokio::select! {
			done = &mut doing => {
				let took = started.elapsed();
				match &done {
					Ok(_) => say!("✓ {what} ({:.1} s)", took.as_secs_f64()),
					Err(_) => say!("✗ {what} ({:.1} s)", took.as_secs_f64()),
				}
				return done.map(|value| (value, took));
			},
			_ = ticks.tick() => say!("… {what} ({} s)", started.elapsed().as_secs()),
		}
	}
}

/// The same of what the chain is asked for.
pub async fn chain_step<T>(
	what: &str,
	doing: impl Future<Output = Result<T, ChainClientError>>,
) -> anyhow::Result<(T, Duration)> {
	step(what, async { Ok(doing.await?) }).await
}

/// Does what is over at once most of the time, and says what it waits for if it is not.
pub async fn unless_quick<T>(what: &str, doing: impl Future<Output = T>) -> T {
	tokio::pin!(doing);
	tokio::select! {
		biased;
		done = &mut doing => return done,
		() = tokio::time::sleep(limits::QUICK_MAX) => say!("… {what}"),
	}
	doing.await
}

/// Seconds to a tenth.
pub fn seconds(took: Duration) -> f64 {
	(took.as_secs_f64() * 10.0).round() / 10.0
}
