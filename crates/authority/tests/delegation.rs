//! Delegations, along random trees of them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use notme_authority::Error;
use notme_authority::delegation::{
    DelegationProblem, Giver, Link, MAX_DEPTH, Part, Terms, Wish, worth,
};
use notme_authority::people::admin::ItemId;
use notme_authority::people::{PrincipalId, Scope, Scopes, uuid};
use proptest::prelude::*;
use proptest::sample::Index;

const NOW: u64 = 1_795_295_166;

/// What hangs on which, in the order in which it was made; nothing hangs on what comes later.
#[derive(Clone, Debug)]
struct Tree {
    links: Vec<(Option<usize>, Link)>,
    giver: Giver,
}

impl Tree {
    /// The places of a link and all above it, the highest first.
    fn path(&self, at: usize) -> Vec<usize> {
        let mut path = vec![at];
        while let Some(parent) = self.links[path[0]].0 {
            path.insert(0, parent);
        }
        path
    }

    fn worth(&self, at: usize) -> Result<Terms, Error> {
        let path = self.path(at);
        let chain: Vec<Link> = path.iter().map(|i| self.links[*i].1.clone()).collect();
        worth(&chain, &self.giver, &self.links[at].1.delegate, NOW)
    }

    fn all(&self) -> Vec<Result<Terms, Error>> {
        (0..self.links.len()).map(|at| self.worth(at)).collect()
    }

    fn is_below(&self, at: usize, above: usize) -> bool {
        self.path(at).contains(&above)
    }
}

fn principal(n: usize) -> PrincipalId {
    PrincipalId::from_random([u8::try_from(n).unwrap(); 16])
}

fn item(n: usize) -> ItemId {
    ItemId::parse(&uuid([u8::try_from(n).unwrap(); 16])).unwrap()
}

fn scopes() -> impl Strategy<Value = Scopes> {
    let all = Scope::ALL.to_vec();
    proptest::sample::subsequence(all, 0..=5).prop_map(|scopes| scopes.into_iter().collect())
}

fn audience() -> impl Strategy<Value = Option<String>> {
    prop_oneof![3 => Just(None), 1 => "[ab]".prop_map(Some)]
}

fn purpose() -> impl Strategy<Value = Option<[u8; 32]>> {
    prop_oneof![3 => Just(None), 1 => (0..2_u8).prop_map(|byte| Some([byte; 32]))]
}

prop_compose! {
    fn wish()(
        scopes in proptest::option::of(scopes()),
        audience in audience(),
        purpose in purpose(),
        expires_at in proptest::option::of(NOW..NOW + 10_000),
        depth in proptest::option::of(0..=MAX_DEPTH),
    ) -> Wish {
        Wish { delegate: principal(1), parent: None, scopes, audience, purpose, expires_at, depth }
    }
}

prop_compose! {
    fn terms()(
        scopes in scopes(),
        audience in audience(),
        purpose in purpose(),
        expires_at in NOW - 100..NOW + 10_000,
        depth in 0..=MAX_DEPTH,
    ) -> Terms {
        Terms { scopes, audience, purpose, expires_at, depth }
    }
}

/// Where it hangs: on one of those before, or on its giver's own rights.
fn places<T: std::fmt::Debug>(
    of: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<(Option<Index>, T)>> {
    let place = prop_oneof![1 => Just(None), 4 => any::<Index>().prop_map(Some)];
    proptest::collection::vec((place, of), 1..40)
}

fn giver() -> Giver {
    Giver {
        scopes: Scope::ALL.into_iter().collect(),
        is_turned_away: false,
    }
}

fn link(tree: &Tree, parent: Option<usize>, terms: Terms) -> Link {
    let made = tree.links.len();
    Link {
        id: item(made),
        parent: parent.map(item),
        delegator: parent.map_or_else(
            || principal(255),
            |parent| tree.links[parent].1.delegate.clone(),
        ),
        on_behalf_of: principal(255),
        delegate: principal(made),
        terms,
        is_revoked: false,
        is_turned_away: false,
    }
}

/// A tree as the authority makes it: what is refused isn't there.
fn made(wishes: Vec<(Option<Index>, Wish)>, giver: Giver) -> Tree {
    let links = Vec::new();
    let mut tree = Tree { links, giver };
    for (place, wish) in wishes {
        let place = place.filter(|_| !tree.links.is_empty());
        let parent = place.map(|place| place.index(tree.links.len()));
        let above = match parent {
            None => Ok(Terms::own(tree.giver.scopes.clone(), NOW)),
            Some(parent) => tree.worth(parent),
        };
        if let Ok(terms) = above.and_then(|above| above.narrow(&wish, NOW)) {
            let link = link(&tree, parent, terms);
            tree.links.push((parent, link));
        }
    }
    tree
}

/// A tree that says anything: rows that no authority wrote.
fn written(rows: Vec<(Option<Index>, Terms)>) -> Tree {
    let mut tree = Tree {
        links: Vec::new(),
        giver: giver(),
    };
    for (place, terms) in rows {
        let place = place.filter(|_| !tree.links.is_empty());
        let parent = place.map(|place| place.index(tree.links.len()));
        let link = link(&tree, parent, terms);
        tree.links.push((parent, link));
    }
    tree
}

/// Whether `below` has nothing that `above` hasn't; `handed` is how often it was handed on between them.
fn assert_not_wider(below: &Terms, above: &Terms, handed: u8) {
    assert_eq!(below.scopes.beyond(&above.scopes), None);
    if above.audience.is_some() {
        assert_eq!(below.audience, above.audience);
    }
    if above.purpose.is_some() {
        assert_eq!(below.purpose, above.purpose);
    }
    assert!(below.expires_at <= above.expires_at);
    assert!(u16::from(below.depth) + u16::from(handed) <= u16::from(above.depth));
}

fn assert_nothing_grows(tree: &Tree) {
    for (at, worth) in tree.all().into_iter().enumerate() {
        let Ok(worth) = worth else { continue };
        assert_eq!(worth.scopes.beyond(&tree.giver.scopes), None);
        assert!(worth.expires_at > NOW);
        let path = tree.path(at);
        for (i, above) in path.iter().enumerate() {
            let handed = u8::try_from(path.len() - 1 - i).unwrap();
            assert_not_wider(&worth, &tree.links[*above].1.terms, handed);
            // What is above is worth something too: nobody has what who gave it hasn't.
            assert_not_wider(&worth, &tree.worth(*above).unwrap(), handed);
        }
    }
}

/// What is revoked, and all below it, is refused, and nothing else changes.
fn assert_exactly_the_subtree(tree: &Tree, revoked: usize, after: &Tree) {
    for (at, (before, after)) in tree.all().into_iter().zip(after.all()).enumerate() {
        if tree.is_below(at, revoked) {
            assert_eq!(after, Err(DelegationProblem::Revoked.into()), "{at}");
        } else {
            assert_eq!(after, before, "{at}");
        }
    }
}

proptest! {
    #[test]
    fn no_leaf_ever_has_more_than_its_ancestors(wishes in places(wish()), scopes in scopes()) {
        let tree = made(wishes, giver());
        assert!(tree.all().iter().all(Result::is_ok), "what was made is worth something");
        assert_nothing_grows(&tree);
        // What the giver loses is lost to all who act for them, and nothing else is.
        let poorer = Tree { giver: Giver { scopes: scopes.clone(), is_turned_away: false }, ..tree.clone() };
        assert_nothing_grows(&poorer);
        for (before, after) in tree.all().into_iter().zip(poorer.all()) {
            let before = before.unwrap();
            prop_assert_eq!(after, Ok(Terms { scopes: before.scopes.narrowed_to(&scopes), ..before }));
        }
    }

    #[test]
    fn nor_has_one_whatever_the_rows_say(rows in places(terms())) {
        assert_nothing_grows(&written(rows));
    }

    #[test]
    fn revoking_any_node_refuses_exactly_its_subtree(wishes in places(wish()), which in any::<Index>()) {
        let tree = made(wishes, giver());
        prop_assume!(!tree.links.is_empty());
        let revoked = which.index(tree.links.len());
        let mut after = tree.clone();
        after.links[revoked].1.is_revoked = true;
        assert_exactly_the_subtree(&tree, revoked, &after);
        // And turning away whom it is to, who has nothing else.
        let mut after = tree.clone();
        after.links[revoked].1.is_turned_away = true;
        assert_exactly_the_subtree(&tree, revoked, &after);
        // And turning away on whose behalf all is.
        let mut after = tree;
        after.giver.is_turned_away = true;
        for worth in after.all() {
            prop_assert_eq!(worth, Err(DelegationProblem::Revoked.into()));
        }
    }

    #[test]
    fn a_chain_whose_links_do_not_belong_together_is_worth_nothing(
        wishes in places(wish()), which in any::<Index>(), other in 0..4_u8,
    ) {
        let mut tree = made(wishes, giver());
        prop_assume!(!tree.links.is_empty());
        let bent = which.index(tree.links.len());
        let link = &mut tree.links[bent].1;
        let stranger = principal(200);
        match other {
            0 => link.delegator = stranger,
            1 => link.on_behalf_of = stranger,
            // What it hangs on is gone, or it is said to hang on nothing.
            2 => link.parent = link.parent.is_none().then(|| item(200)),
            _ => link.delegate = stranger,
        }
        for at in 0..tree.links.len() {
            let below = tree.is_below(at, bent);
            // Who was written over an end is worth what it was to whom it was.
            let is_end = other == 3 && at == bent;
            if below && !is_end {
                prop_assert!(tree.worth(at).is_err());
            }
        }
    }

    #[test]
    fn a_wish_for_more_is_refused_and_says_of_what(above in terms(), wish in wish()) {
        let made = above.narrow(&wish, NOW);
        let asks_too_much = [
            (Part::Depth, wish.depth.unwrap_or(0) >= above.depth),
            (Part::Scopes, wish.scopes.as_ref().is_some_and(|scopes| scopes.beyond(&above.scopes).is_some())),
            (Part::Expiry, wish.expires_at.is_some_and(|at| at > above.expires_at)),
            (Part::Audience, above.audience.is_some() && wish.audience.is_some() && above.audience != wish.audience),
            (Part::Purpose, above.purpose.is_some() && wish.purpose.is_some() && above.purpose != wish.purpose),
        ];
        match made {
            Ok(made) => {
                assert_not_wider(&made, &above, 1);
                for (part, is_too_much) in asks_too_much {
                    prop_assert!(!is_too_much, "{:?}", part);
                }
                // What is said is what is had.
                if let Some(scopes) = wish.scopes { prop_assert_eq!(made.scopes, scopes); }
                if let Some(at) = wish.expires_at { prop_assert_eq!(made.expires_at, at); }
                prop_assert_eq!(made.depth, wish.depth.unwrap_or(0));
            }
            Err(Error::Delegation(DelegationProblem::Exceeded(Part::Scopes))) => {
                let asked = wish.scopes.unwrap_or_else(|| above.scopes.clone());
                prop_assert!(asked.is_empty() || asked.beyond(&above.scopes).is_some());
            }
            Err(Error::Delegation(DelegationProblem::Exceeded(part))) => {
                prop_assert!(asks_too_much.contains(&(part, true)), "{:?}", part);
            }
            Err(Error::InvalidMember("expiresAt")) => {
                prop_assert!(above.expires_at <= NOW || wish.expires_at.is_some_and(|at| at <= NOW));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn it_is_for_whom_it_is_to_and_until_its_end() {
    let tree = made(
        vec![(
            None,
            Wish {
                expires_at: Some(NOW + 10),
                ..plain()
            },
        )],
        giver(),
    );
    let chain = [tree.links[0].1.clone()];
    let worth = |who, now| worth(&chain, &tree.giver, &principal(who), now).map(|_| ());
    assert_eq!(worth(0, NOW + 9), Ok(()));
    assert_eq!(worth(0, NOW + 10), Err(DelegationProblem::Expired.into()));
    assert_eq!(worth(1, NOW), Err(DelegationProblem::Unknown.into()));
    let nothing = notme_authority::delegation::worth(&[], &tree.giver, &principal(0), NOW);
    assert_eq!(nothing, Err(DelegationProblem::Unknown.into()));
}

#[test]
fn it_is_handed_on_as_often_as_it_says_and_never_more_than_four_times() {
    let deepest = |depth| Wish {
        depth: Some(depth),
        ..plain()
    };
    let mut above = Terms::own(giver().scopes, NOW);
    let too_deep = Err(DelegationProblem::Exceeded(Part::Depth).into());
    assert_eq!(above.narrow(&deepest(5), NOW), too_deep);
    for depth in (0..=MAX_DEPTH).rev() {
        above = above.narrow(&deepest(depth), NOW).unwrap();
    }
    assert_eq!(above.narrow(&deepest(0), NOW), too_deep);
    assert_eq!(above.narrow(&plain(), NOW), too_deep);
}

fn plain() -> Wish {
    Wish {
        delegate: principal(1),
        parent: None,
        scopes: None,
        audience: None,
        purpose: None,
        expires_at: None,
        depth: None,
    }
}
