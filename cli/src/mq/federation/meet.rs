//! Who of those in the registry is met: brokers directly or by a coordinator, and none whose keys do not fit.
//!
//! The registry may say what it likes; the list of keys decides. It is looked at again as long as somebody is not on it.

use std::{collections::BTreeSet, time::Duration};

use ::broker::{
    federation::{Meeting, Place},
    zsock::curve::Guard,
};
use tokio::{sync::watch, time::sleep};
use tracing::warn;

/// How often the list of keys is looked at again, as long as somebody is there whose key is not on it.
const AGAIN: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 5_000 });

/// Who is there and not spoken with, for their keys.
#[derive(Debug, Default)]
struct Strangers {
    /// Of whom that was said.
    told: BTreeSet<Place>,
    /// Of them those who were there when last looked.
    now: BTreeSet<Place>,
}

impl Strangers {
    /// Whether this one may be spoken with; if not, that is said once.
    fn admits(&mut self, who: &str, place: &Place, guard: Option<&Guard>) -> bool {
        let Err(reason) = place.pass(guard) else {
            return true;
        };
        if self.told.insert(place.clone()) {
            warn!(address = %place.address, %reason, "{who} is in the registry and not spoken with");
        }
        self.now.insert(place.clone());
        false
    }

    /// The end of a look. Says whether there is anybody.
    fn are_there(&mut self) -> bool {
        self.told = std::mem::take(&mut self.now);
        !self.told.is_empty()
    }
}

/// Coordinators where there are any, otherwise the brokers themselves; none whose keys do not fit.
pub(super) fn meet(
    (mut brokers, given): (watch::Receiver<BTreeSet<Place>>, BTreeSet<Place>),
    mut coordinators: watch::Receiver<BTreeSet<(Place, Place)>>,
    guard: Option<Guard>,
) -> watch::Receiver<Meeting> {
    let (tell, meetings) = watch::channel(Meeting::default());
    let mut strangers = Strangers::default();
    tokio::spawn(async move {
        loop {
            let guard = guard.as_ref();
            let mut pairs = coordinators.borrow_and_update().clone();
            pairs.retain(|(it, _)| strangers.admits("a coordinator", it, guard));
            let mut known = brokers.borrow_and_update().clone();
            known.retain(|it| strangers.admits("another broker of this name", it, guard));
            let next = if pairs.is_empty() {
                Meeting {
                    hear: known.union(&given).cloned().collect(),
                    tell: BTreeSet::new(),
                }
            } else {
                let (tell, hear) = pairs.into_iter().unzip();
                Meeting { hear, tell }
            };
            tell.send_if_modified(|current| {
                let changed = *current != next;
                *current = next;
                changed
            });
            let strangers = strangers.are_there();
            // What was given does not change, and then there is nobody to tell of it.
            tokio::select! {
                Ok(()) = brokers.changed() => {}
                Ok(()) = coordinators.changed() => {}
                () = sleep(AGAIN), if strangers => {}
                else => return tell.closed().await,
            }
        }
    });
    meetings
}

#[cfg(test)]
mod tests {
    use ::broker::zsock::curve::{Keys, PublicKey};

    use super::*;

    fn at(address: &str, key: Option<PublicKey>) -> Place {
        let address = address.to_owned();
        Place { address, key }
    }

    fn set(address: &str, key: Option<PublicKey>) -> BTreeSet<Place> {
        [at(address, key)].into()
    }

    fn pair(key: Option<PublicKey>) -> BTreeSet<(Place, Place)> {
        [(at("in", key), at("out", key))].into()
    }

    fn direct(hear: &BTreeSet<Place>) -> Meeting {
        Meeting {
            hear: hear.clone(),
            tell: BTreeSet::new(),
        }
    }

    fn by_coordinator(key: Option<PublicKey>) -> Meeting {
        Meeting {
            hear: set("out", key),
            tell: set("in", key),
        }
    }

    async fn becomes(meetings: &mut watch::Receiver<Meeting>, want: &Meeting) {
        meetings
            .wait_for(|it| it == want)
            .await
            .expect("it is told");
    }

    #[tokio::test]
    async fn brokers_meet_directly_when_there_is_no_coordinator() {
        let known = set("b", None);
        let (_brokers, registered) = watch::channel(known.clone());
        let (coordinators, pairs) = watch::channel(BTreeSet::new());
        let mut meetings = meet((registered, BTreeSet::new()), pairs, None);
        becomes(&mut meetings, &direct(&known)).await;
        coordinators.send_replace(pair(None));
        becomes(&mut meetings, &by_coordinator(None)).await;
        coordinators.send_replace(BTreeSet::new());
        becomes(&mut meetings, &direct(&known)).await;
    }

    #[tokio::test]
    async fn nobody_is_met_whose_key_is_not_listed_until_it_is() {
        let (ours, friend) = (Keys::generate(), Keys::generate().public());
        let own = ours.public();
        let (list, listed) = watch::channel(false);
        let guard = Guard::new(ours, move |key| {
            key == own || (key == friend && *listed.borrow())
        });
        let mine = set("mine", Some(own));
        let all = &(&mine | &set("theirs", Some(friend))) | &set("open", None);
        let (_brokers, registered) = watch::channel(all);
        let (coordinators, pairs) = watch::channel(pair(None));
        let fixed = set("given", Some(own));
        let mut meetings = meet((registered, fixed.clone()), pairs, Some(guard));
        let own_ones = &mine | &fixed;
        // A coordinator without keys is none.
        becomes(&mut meetings, &direct(&own_ones)).await;
        coordinators.send_replace(pair(Some(friend)));
        // The list may be written before or after they come.
        list.send_replace(true);
        becomes(&mut meetings, &by_coordinator(Some(friend))).await;
        coordinators.send_replace(BTreeSet::new());
        let all = direct(&(&own_ones | &set("theirs", Some(friend))));
        becomes(&mut meetings, &all).await;
    }
}
