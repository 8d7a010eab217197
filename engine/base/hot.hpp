// Marks functions that run for each event or each multicast.
//
// Linkers place them next to each other, so that a wake-up after a pause touches a few pages of code instead
// of one for each function (measured: 46 pages before, see docs/decisions/003-event-path.md). Write it at the
// definition.
#pragma once

#define CPGRING_HOT [[gnu::hot]]
