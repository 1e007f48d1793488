//! Waiting for workers that may hang: who is waited for is named, and one that says nothing is given up
//! long before its connection ends.

use crate::{
	commands::status,
	failure::{self, CommandError},
	limits,
	output::operators::{Phase, WorkerStatus},
};
use phala_chain_client::clusters::Member;
use phala_protocol::BlockNumber;
use std::{future::Future, time::Duration};
use tokio::time::Instant;

/// The code of what a worker does not answer.
pub const UNANSWERED: &str = "Unanswered";

/// How often a worker that is waited for is asked who it is.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
	/// How long one answer may take.
	pub each: Duration,
	/// After so many without an answer it is given up.
	pub max: u32,
}

impl Looks {
	pub const USUAL: Self = Self { each: limits::STATUS_MAX, max: limits::UNANSWERED_LOOKS_MAX };

	/// Of workers that start, beside others that do.
	pub const OF_A_START: Self = Self { each: limits::INFO_MAX, ..Self::USUAL };

	/// How long one that says nothing is waited for.
	fn patience(self) -> Duration {
		self.each * self.max
	}
}

/// Does something with a worker for as long as that one says who it is, and has a use for it.
pub async fn while_there<T>(
	member: &Member,
	looks: Looks,
	doing: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
	tokio::select! {
		biased;
		done = doing => done,
		gone = is_gone(member, looks) => Err(gone),
	}
}

/// Whether somebody was given up for saying nothing.
pub fn is_silence(error: &anyhow::Error) -> bool {
	failure::body(error).code == UNANSWERED
}

/// Ends when a worker says nothing for long, hears of no block for as long, or says that it will never serve again:
/// why. Of the chain only the worker is asked: while no block becomes final, nobody hears of one.
async fn is_gone(Member { worker, endpoint }: &Member, looks: Looks) -> anyhow::Error {
	let mut unanswered = 0;
	let mut stands: Option<(BlockNumber, Instant)> = None;
	loop {
		match tokio::time::timeout(looks.each, status::info(endpoint)).await {
			Ok(Ok(info)) => {
				if let Some((code, why)) = serves_no_more(&info) {
					return CommandError::new(code, why).into();
				}
				if unanswered > 0 {
					say!("  worker {worker} answers again");
				}
				unanswered = 0;
				match (info.height, stands) {
					(Some(height), Some((at, since))) if height == at => {
						if since.elapsed() > looks.patience() {
							let message = format!(
								"it hears of no block: it stands at block {height}. Is its relayer there?"
							);
							return CommandError::new(UNANSWERED, message).into();
						}
					}
					(height, _) => stands = height.map(|height| (height, Instant::now())),
				}
			}
			// Nobody listens, or something else does: what is being done ends by itself.
			Ok(Err(_)) => {}
			Err(_) => {
				unanswered += 1;
				if unanswered >= looks.max {
					let message = format!(
						"it does not answer within {} s: does it hang?",
						looks.patience().as_secs_f32().ceil()
					);
					return CommandError::new(UNANSWERED, message).into();
				}
				if unanswered == 1 {
					let rest = (looks.patience() - looks.each).as_secs_f32().ceil();
					say!("  worker {worker} does not answer; it is waited for {rest} s more");
				}
				continue;
			}
		}
		tokio::time::sleep(looks.each).await;
	}
}

/// Code and reason of a boot that will never serve again.
fn serves_no_more(info: &WorkerStatus) -> Option<(&'static str, String)> {
	if let Some(why) = &info.suspended {
		return Some((
			"Suspended",
			format!("it is suspended and serves no more ({why}): its operator has to restart it"),
		));
	}
	match info.phase {
		Phase::Retired => Some((
			"Over",
			"it is an older boot of its worker, and serves no more: another has taken its place"
				.into(),
		)),
		Phase::Evicted => Some((
			"Over",
			"its worker lost its place, as one that was closed or evicted, and it serves no more"
				.into(),
		)),
		_ => None,
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::calls::villains::{worker, Villain};
	use serde_json::json;

	/// Of a test with one that does not say who it is.
	const SHORT: Looks = Looks { each: Duration::from_millis(100), max: 2 };

	#[tokio::test]
	async fn one_that_hangs_is_given_up_and_one_that_is_there_is_waited_for() {
		let hung = worker(1, Villain::Hangs).await;
		let never = std::future::pending::<anyhow::Result<()>>();
		let gone = while_there(&hung.member, SHORT, never).await.unwrap_err();
		assert!(is_silence(&gone), "{gone:#}");
		assert!(gone.to_string().contains("does it hang?"), "{gone:#}");
		let well = worker(2, Villain::Answers).await;
		let looks = Looks { each: Duration::from_secs(60), max: 1 };
		let slow = async {
			tokio::time::sleep(Duration::from_millis(50)).await;
			Ok(7)
		};
		assert_eq!(while_there(&well.member, looks, slow).await.unwrap(), 7);
	}

	#[tokio::test]
	async fn one_that_hears_of_no_block_is_given_up_as_one_that_hangs() {
		let cut_off = worker(1, Villain::IsCutOff { height: 7, fresh: true }).await;
		let never = std::future::pending::<anyhow::Result<()>>();
		let gone = while_there(&cut_off.member, SHORT, never).await.unwrap_err();
		assert!(is_silence(&gone), "{gone:#}");
		assert!(gone.to_string().contains("stands at block 7"), "{gone:#}");
	}

	#[tokio::test]
	async fn what_ends_by_itself_is_told_and_not_that_somebody_hangs() {
		let hung = worker(1, Villain::Hangs).await;
		let refused = std::future::ready(anyhow::Result::<()>::Err(anyhow::anyhow!("no place")));
		let refused = while_there(&hung.member, SHORT, refused).await.unwrap_err();
		assert_eq!(refused.to_string(), "no place");
	}

	#[test]
	fn a_boot_that_will_never_serve_again_is_not_waited_for() {
		let code = |said: serde_json::Value| {
			serves_no_more(&serde_json::from_value(said).unwrap()).map(|(code, _)| code)
		};
		assert_eq!(code(json!({ "phase": "serving" })), None);
		assert_eq!(code(json!({ "phase": "awaits-registration" })), None);
		assert_eq!(code(json!({ "phase": "retired" })), Some("Over"));
		assert_eq!(code(json!({ "phase": "evicted" })), Some("Over"));
		let suspended = json!({ "phase": "serving", "suspended": "it failed twice" });
		assert_eq!(code(suspended), Some("Suspended"));
	}
}
