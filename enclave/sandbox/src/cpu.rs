//! CPU time of one run: what its own thread spent while the run was being polled. Waiting costs
//! nothing, nor does a machine that is busy with others.

use rustix::time::{clock_gettime, ClockId};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

fn thread_cpu_ns() -> u64 {
	let now = clock_gettime(ClockId::ThreadCPUTime);
	(now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

/// Only the thread that polls the run writes; a run is polled by one thread at a time.
#[derive(Clone, Default)]
pub(crate) struct CpuMeter(Arc<Counters>);

#[derive(Default)]
struct Counters {
	spent_ns: AtomicU64,
	/// The thread's clock when the poll that is under way began.
	poll_began_ns: AtomicU64,
}

impl CpuMeter {
	/// Up to the last poll that ended.
	pub(crate) fn spent(&self) -> Duration {
		Duration::from_nanos(self.0.spent_ns.load(Ordering::Relaxed))
	}

	/// Up to now. Only meaningful inside a poll of the metered future.
	pub(crate) fn spent_now(&self) -> Duration {
		let poll_ns = thread_cpu_ns().saturating_sub(self.0.poll_began_ns.load(Ordering::Relaxed));
		self.spent() + Duration::from_nanos(poll_ns)
	}

	pub(crate) fn measure<F: Future>(&self, future: F) -> Measured<F> {
		Measured { meter: self.clone(), future: Box::pin(future) }
	}
}

pub(crate) struct Measured<F> {
	meter: CpuMeter,
	future: Pin<Box<F>>,
}

impl<F: Future> Future for Measured<F> {
	type Output = F::Output;

	fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
		let began_ns = thread_cpu_ns();
		self.meter.0.poll_began_ns.store(began_ns, Ordering::Relaxed);
		let result = self.future.as_mut().poll(cx);
		let poll_ns = thread_cpu_ns().saturating_sub(began_ns);
		self.meter.0.spent_ns.fetch_add(poll_ns, Ordering::Relaxed);
		result
	}
}
