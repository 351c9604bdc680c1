//! What to try next: pure, from what is known about each item.
//!
//! The items lie in order, from the good end to the bad end. Some item is the first bad one; each verdict halves where it
//! can be. Both ends are items, too: nobody has to boot them first, but if everything points at an end that nobody has
//! seen, it is tried, so that a hunt between two wrong ends says so.
//!
//! With `m` places where the first bad item can be, one boot leaves `m / 2` of them, two boots at once leave `m / 3`:
//! less waiting, but more boots. So two at once are chosen only as long as the boots stay within
//! [`most_boots`]; then it is one at a time.

use regrow_host::words::count;

/// What is known about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The check passed.
    Good,
    /// It did not.
    Bad,
    /// It could not be asked: no image, no boot.
    Skipped,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Try these items, all at once; their order does not matter.
    Try(Vec<usize>),
    /// This is the first bad one, and the one before it is good.
    Found(usize),
    /// The first bad one is one of these; what lies between could not be asked.
    OneOf(std::ops::RangeInclusive<usize>),
    /// The good end is bad.
    GoodIsBad,
    /// The bad end is good.
    BadIsGood,
    /// An end could not be asked, and nothing else says what it would have said.
    NoEnd(usize),
}

/// The state of a hunt.
#[derive(Debug, Clone)]
pub struct Search {
    seen: Vec<Option<Seen>>,
    boots: u32,
}

/// How many boots a hunt among so many changesets takes at most, if none of them must be skipped: 7 up to 126 of them
/// (fewer one at a time), 11 for 1,024.
pub fn most_boots(changesets: usize) -> u32 {
    // The first bad one is one of them, or one of the ends is not what it should be.
    halvings(changesets + 2).max(7)
}

/// How many times `places` must be halved until one is left.
fn halvings(places: usize) -> u32 {
    places.max(1).next_power_of_two().trailing_zeros()
}

/// Where to look when what lies in the middle cannot be asked, in eighths of the way: neighbours first, then further
/// off, because what cannot be built often comes in a row.
const ELSEWHERE: [usize; 8] = [4, 4, 2, 6, 1, 7, 3, 5];

impl Search {
    /// Between a good end (item 0) and a bad end (the last item), with `changesets` steps between them.
    pub fn new(changesets: usize) -> Search {
        Search { seen: vec![None; changesets + 1], boots: 0 }
    }

    /// What is known of an item.
    pub fn seen(&self, item: usize) -> Option<Seen> {
        self.seen[item]
    }

    /// Learns about an item; a later word replaces an earlier one.
    pub fn learn(&mut self, item: usize, seen: Seen) {
        self.seen[item] = Some(seen);
    }

    /// Counts boots: they are what is saved.
    pub fn booted(&mut self, boots: u32) {
        self.boots += boots;
    }

    /// The last good item (before item 0: none) and the first bad one after it. A good one after a bad one means that it
    /// was mended and broken again: the newest break is looked for.
    pub fn bounds(&self) -> (Option<usize>, usize) {
        let good = self.seen.iter().rposition(|s| *s == Some(Seen::Good));
        let from = good.map_or(0, |good| good + 1);
        let bad = (from..self.seen.len()).find(|n| self.seen[*n] == Some(Seen::Bad));
        (good, bad.unwrap_or(self.seen.len()))
    }

    /// In how many places the first bad item can still be, ends that are not what they should be among them.
    pub fn places(&self) -> usize {
        let (good, bad) = self.bounds();
        bad + 1 - good.map_or(0, |good| good + 1)
    }

    /// How many more boots it takes, one at a time, if nothing must be skipped.
    pub fn boots_left(&self) -> u32 {
        halvings(self.places())
    }

    /// How much there is to do, in words.
    pub fn left(&self) -> String {
        let changesets = count(self.places().min(self.seen.len() - 1), "changeset", "changesets");
        format!("{changesets} left, about {} to go", count(self.boots_left() as usize, "boot", "boots"))
    }

    /// What to do now; with `two`, two items may be tried at once.
    pub fn next(&self, two: bool) -> Next {
        let last = self.seen.len() - 1;
        let (good, bad) = self.bounds();
        if good == Some(last) {
            return Next::BadIsGood;
        }
        if bad == 0 {
            return Next::GoodIsBad;
        }
        let first = good.map_or(0, |good| good + 1);
        let open: Vec<usize> = (first..bad).filter(|n| self.seen[*n].is_none()).collect();
        if open.is_empty() {
            return match (good, bad) {
                (None, _) => Next::NoEnd(0),
                (_, bad) if bad > last => Next::NoEnd(last),
                (_, bad) if bad == first => Next::Found(bad),
                _ => Next::OneOf(first..=bad),
            };
        }
        let skipped = bad - first - open.len();
        let places = bad + 1 - first;
        let left = most_boots(last).saturating_sub(self.boots);
        if two && skipped == 0 && open.len() >= 2 && 2 + halvings(places.div_ceil(3)) <= left {
            let third = |n: usize| open[(open.len() * n / 3).min(open.len() - 1)];
            return Next::Try(vec![third(1), third(2)]);
        }
        let eighths = if skipped == 0 { 4 } else { ELSEWHERE[skipped % ELSEWHERE.len()] };
        let wish = first + (bad - first) * eighths / 8;
        let nearest = open.iter().copied().min_by_key(|n| n.abs_diff(wish)).unwrap_or(first);
        Next::Try(vec![nearest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts to the end where `judge` tells what booting an item would show; returns the end and the boots.
    fn hunt(search: &mut Search, two: bool, judge: impl Fn(usize) -> Seen) -> (Next, u32) {
        let mut boots = 0;
        for _ in 0..10_000 {
            match search.next(two) {
                Next::Try(items) => {
                    assert!(items.len() <= if two { 2 } else { 1 });
                    for item in items {
                        assert_eq!(search.seen(item), None, "nothing is booted twice");
                        search.learn(item, judge(item));
                        search.booted(1);
                        boots += 1;
                    }
                }
                end => return (end, boots),
            }
        }
        panic!("the hunt never ends");
    }

    fn first_bad(culprit: usize) -> impl Fn(usize) -> Seen {
        move |n| if n < culprit { Seen::Good } else { Seen::Bad }
    }

    #[test]
    fn every_culprit_is_found_within_the_boots_that_were_promised() {
        for (changesets, most) in [(1, 2), (2, 2), (3, 3), (10, 4), (64, 7), (100, 7), (126, 7), (1024, 11)] {
            for two in [false, true] {
                for culprit in 1..=changesets {
                    let (end, boots) = hunt(&mut Search::new(changesets), two, first_bad(culprit));
                    assert_eq!(end, Next::Found(culprit), "{culprit} of {changesets}");
                    let most = if two { most_boots(changesets) } else { most };
                    assert!(boots <= most, "{culprit} of {changesets}: {boots} boots, {most} were promised");
                }
            }
        }
        assert_eq!((most_boots(64), most_boots(100), most_boots(1024)), (7, 7, 11));
    }

    #[test]
    fn two_at_once_take_fewer_rounds() {
        let rounds = |two| {
            let mut search = Search::new(64);
            let mut rounds = 0;
            while let Next::Try(items) = search.next(two) {
                rounds += 1;
                for item in items {
                    search.learn(item, first_bad(23)(item));
                    search.booted(1);
                }
            }
            rounds
        };
        assert!(rounds(true) < rounds(false), "{} and {}", rounds(true), rounds(false));
    }

    #[test]
    fn wrong_ends_are_seen() {
        for changesets in [1, 2, 64, 100] {
            let all = |seen| move |_| seen;
            let (end, boots) = hunt(&mut Search::new(changesets), false, all(Seen::Bad));
            assert_eq!(end, Next::GoodIsBad);
            assert!(boots <= most_boots(changesets));
            let (end, boots) = hunt(&mut Search::new(changesets), false, all(Seen::Good));
            assert_eq!(end, Next::BadIsGood);
            assert!(boots <= most_boots(changesets));
        }
    }

    #[test]
    fn what_is_known_is_not_tried_again() {
        let mut search = Search::new(100);
        search.learn(0, Seen::Good);
        search.learn(100, Seen::Bad);
        search.learn(60, Seen::Good);
        search.learn(62, Seen::Bad);
        let (end, boots) = hunt(&mut search, false, first_bad(61));
        assert_eq!((end, boots), (Next::Found(61), 1));
    }

    #[test]
    fn what_cannot_be_asked_is_gone_around_and_then_said() {
        for changesets in [1usize, 3, 9, 40] {
            for culprit in 1..=changesets {
                for width in 1..=changesets {
                    for from in 1..=changesets - width + 1 {
                        let skipped = from..from + width;
                        let judge = |n: usize| if skipped.contains(&n) { Seen::Skipped } else { first_bad(culprit)(n) };
                        let mut search = Search::new(changesets);
                        search.learn(0, Seen::Good);
                        search.learn(changesets, Seen::Bad);
                        let (end, _) = hunt(&mut search, false, judge);
                        match end {
                            Next::Found(n) => assert_eq!(n, culprit),
                            Next::OneOf(range) => {
                                assert!(range.contains(&culprit), "{range:?} without {culprit}");
                                let inner = *range.start()..*range.end();
                                assert!(inner.into_iter().all(|n| search.seen(n) == Some(Seen::Skipped)));
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn an_end_that_cannot_be_asked_is_named() {
        let (end, _) = hunt(&mut Search::new(3), false, |_| Seen::Skipped);
        assert_eq!(end, Next::NoEnd(0));
        let (end, _) = hunt(&mut Search::new(3), false, |n| if n == 3 { Seen::Skipped } else { Seen::Good });
        assert_eq!(end, Next::NoEnd(3));
    }

    #[test]
    fn of_several_breaks_the_newest_is_found() {
        // Broken by 10, mended by 20, broken again by 30.
        let judge = |n: usize| if (10..20).contains(&n) || n >= 30 { Seen::Bad } else { Seen::Good };
        let mut search = Search::new(40);
        search.learn(15, Seen::Bad);
        search.learn(25, Seen::Good);
        assert_eq!(hunt(&mut search, false, judge).0, Next::Found(30));
    }
}
