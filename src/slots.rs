//! A table of slots with generations: an index that outlived its value is recognised, not confused.

/// Slots are used again, last freed first; each life of a slot has its own generation.
#[derive(Debug)]
pub struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Stores what `make` builds from its slot and generation.
    pub fn insert_with(&mut self, make: impl FnOnce(u32, u32) -> T) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[at as usize];
        slot.generation += 1;
        slot.value = Some(make(at, slot.generation));
        at
    }

    pub fn remove(&mut self, at: u32) -> Option<T> {
        let value = self.slots.get_mut(at as usize)?.value.take()?;
        self.free.push(at);
        Some(value)
    }

    #[inline]
    pub fn get(&self, at: u32) -> Option<&T> {
        self.slots.get(at as usize)?.value.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.slots.get_mut(at as usize)?.value.as_mut()
    }

    /// The value, if it is still the one of that generation.
    #[inline]
    pub fn live_mut(&mut self, at: u32, generation: u32) -> Option<&mut T> {
        let slot = self.slots.get_mut(at as usize)?;
        if slot.generation == generation { slot.value.as_mut() } else { None }
    }

    #[inline]
    pub fn live(&self, at: u32, generation: u32) -> Option<&T> {
        let slot = self.slots.get(at as usize)?;
        if slot.generation == generation { slot.value.as_ref() } else { None }
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All slots there ever were are below this.
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In the order of the slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.iter_from(0)
    }

    /// The same from a slot on.
    pub fn iter_from(&self, from: u32) -> impl Iterator<Item = (u32, &T)> {
        let slots = self.slots.iter().enumerate().skip(from as usize);
        slots.filter_map(|(at, slot)| Some((at as u32, slot.value.as_ref()?)))
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_in_its_next_life_is_not_taken_for_the_former() {
        let mut slots = Slots::default();
        let at = slots.insert_with(|_, generation| generation);
        assert_eq!(slots.live_mut(at, 1), Some(&mut 1));
        assert_eq!(slots.remove(at), Some(1));
        assert_eq!(slots.remove(at), None);
        assert_eq!(slots.insert_with(|_, generation| generation), at);
        assert_eq!(slots.live(at, 1), None);
        assert_eq!(slots.live(at, 2), Some(&2));
        assert_eq!(slots.len(), 1);
    }
}
