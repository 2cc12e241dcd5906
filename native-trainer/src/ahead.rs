//! Work done ahead, on all cores, whose results are taken in order: while frames are scored, the next ones are decoded and faces
//! are found in them.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Items beyond one a core that are worked on or wait to be taken: what is taken next may take longer than what comes after it.
const SPARE: usize = 2;

/// How long whoever takes results waited.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waits {
    /// For items.
    pub items: Duration,
    /// For the work on items that were there.
    pub work: Duration,
}

/// Hands every item and what `work` makes of it to `take`, in the order of the items, until there is an error: an item's or
/// one of `take`. Meanwhile a thread asks for the next items, and rayon's threads work on several of them at once. So the results
/// depend on no timing, and no more items are held than there are cores, and a few.
pub(crate) fn for_each_in_order<T: Send, R: Send, E: Send>(
    items: impl Iterator<Item = Result<T, E>> + Send,
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(T, R) -> Result<()>,
) -> Result<Waits>
where
    anyhow::Error: From<E>,
{
    std::thread::scope(|threads| {
        let (places, results) = sync_channel(rayon::current_num_threads() + SPARE);
        let work = &work;
        threads.spawn(move || {
            rayon::in_place_scope(|tasks| {
                for item in items {
                    let (done, result) = sync_channel(1);
                    // Nobody takes results any more after an error.
                    if places.send(result).is_err() {
                        return;
                    }
                    tasks.spawn(move |_| {
                        let worked = item.map(|item| {
                            let result = work(&item);
                            (item, result)
                        });
                        done.send(worked).ok();
                    });
                }
            });
        });
        let mut waits = Waits::default();
        // A result that never comes is one of a task that panicked, which the scope does, too.
        while let Some(result) = timed(&mut waits.items, || results.recv().ok())
            && let Some(worked) = timed(&mut waits.work, || received(&result))
        {
            let (item, result) = worked?;
            take(item, result)?;
        }
        Ok(waits)
    })
}

fn received<T>(result: &Receiver<T>) -> Option<T> {
    result.recv().ok()
}

/// Does `work` on rayon's threads, so that it has all cores in its turn, and what it does in parallel waits for no other work.
pub(crate) fn on_all_cores<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

/// Does `work` and adds the time it takes.
pub(crate) fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *sum += start.elapsed();
    result
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anyhow::bail;

    use super::*;

    fn numbers(count: usize) -> impl Iterator<Item = io::Result<usize>> + Send {
        (0..count).map(Ok)
    }

    #[test]
    fn results_are_taken_in_order_however_long_each_takes() {
        let work = |number: &usize| {
            // The earlier of two that follow each other takes longer.
            std::thread::sleep(Duration::from_millis(if number.is_multiple_of(2) { 5 } else { 0 }));
            number * number
        };
        let mut taken = Vec::new();
        let take = |number, square| {
            taken.push((number, square));
            Ok(())
        };
        for_each_in_order(numbers(50), work, take).unwrap();
        assert_eq!(taken, (0..50).map(|number| (number, number * number)).collect::<Vec<_>>());
    }

    #[test]
    fn no_more_is_held_than_there_are_cores_and_a_few() {
        let (asked, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items = numbers(100).inspect(|_| _ = asked.fetch_add(1, Ordering::SeqCst));
        let mut taken = 0;
        let take = |_, ()| {
            // Long enough for whatever may be asked for meanwhile.
            std::thread::sleep(Duration::from_millis(1));
            most.fetch_max(asked.load(Ordering::SeqCst) - taken, Ordering::SeqCst);
            taken += 1;
            Ok(())
        };
        for_each_in_order(items, |_| (), take).unwrap();
        // The one that is taken and the one that waits for a place come on top.
        let bound = rayon::current_num_threads() + SPARE + 2;
        assert!(most.into_inner() <= bound);
        assert_eq!(taken, 100);
    }

    #[test]
    fn an_items_error_comes_after_what_was_before_it() {
        let items = numbers(5).chain([Err(io::Error::other("the sixth is damaged"))]).chain(numbers(1000));
        let mut taken = 0;
        let take = |_, ()| {
            taken += 1;
            Ok(())
        };
        let error = for_each_in_order(items, |_| (), take).unwrap_err();
        assert_eq!((error.to_string().as_str(), taken), ("the sixth is damaged", 5));
    }

    #[test]
    fn an_error_of_whoever_takes_ends_the_work() {
        let worked = AtomicUsize::new(0);
        let take = |number, ()| if number == 3 { bail!("no score") } else { Ok(()) };
        let work = |_: &usize| _ = worked.fetch_add(1, Ordering::SeqCst);
        let error = for_each_in_order(numbers(1_000_000), work, take).unwrap_err();
        assert_eq!(error.to_string(), "no score");
        assert!(worked.into_inner() < 1000, "what nobody takes is not worked on");
    }

    #[test]
    fn no_items_are_no_error() {
        let take = |_: usize, ()| bail!("nothing is there to take");
        for_each_in_order(numbers(0), |_| (), take).unwrap();
    }
}
