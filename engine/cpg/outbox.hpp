// What waits to be written, in order. An entry's place and the room of its bytes are used again, so that a sender who is always ahead of
// the service costs no allocation. They lie with the reactor, not with the handle: what thousands of handles need at different times is
// bounded for all of them together, and a handle whose line is empty holds nothing. One thread.
#pragma once

#include <cstddef>
#include <list>
#include <utility>
#include <vector>

namespace cpgring::cpg {

/// Entries that are free; one for all outboxes of a reactor, which it outlives. `Entry` has `bytes`, a vector.
template <class Entry>
class outbox_room {
 public:
  static constexpr std::size_t entries_max = 4096;
  static constexpr std::size_t bytes_max = std::size_t{1} << 20;
  /// Not that of large messages: a few of them would be all that is kept.
  static constexpr std::size_t bytes_of_one_max = 16384;

  /// An empty vector, with room where some is left over.
  std::vector<std::byte> bytes() {
    if (free_.empty()) {
      return {};
    }
    auto one = std::exchange(free_.front().bytes, {});
    bytes_ -= one.capacity();
    return one;
  }
  /// Puts `one` behind the last of `line`.
  void lend(std::list<Entry>& line, Entry&& one) {
    if (free_.empty()) {
      line.push_back(std::move(one));
      return;
    }
    bytes_ -= free_.front().bytes.capacity();
    free_.front() = std::move(one);
    line.splice(line.end(), free_, free_.begin());
  }
  /// The last that came back is the next to be lent: its memory is warm. Returns what follows it in `line`.
  typename std::list<Entry>::iterator take_back(std::list<Entry>& line, typename std::list<Entry>::iterator one) {
    auto room = std::exchange(one->bytes, {});
    if (free_.size() == entries_max) {
      return line.erase(one);
    }
    *one = Entry{};
    if (room.capacity() <= bytes_of_one_max && bytes_ + room.capacity() <= bytes_max) {
      bytes_ += room.capacity();
      room.clear();
      one->bytes = std::move(room);
    }
    const auto next = std::next(one);
    free_.splice(free_.begin(), line, one);
    return next;
  }
  [[nodiscard]] std::size_t entries_kept() const noexcept { return free_.size(); }
  [[nodiscard]] std::size_t bytes_kept() const noexcept { return bytes_; }

 private:
  std::list<Entry> free_;
  std::size_t bytes_ = 0;
};

template <class Entry>
class outbox {
 public:
  explicit outbox(outbox_room<Entry>& room) noexcept : room_(room) {}

  [[nodiscard]] bool empty() const noexcept { return line_.empty(); }
  [[nodiscard]] Entry& front() noexcept { return line_.front(); }
  auto begin() noexcept { return line_.begin(); }
  auto end() noexcept { return line_.end(); }
  auto begin() const noexcept { return line_.begin(); }
  auto end() const noexcept { return line_.end(); }
  void push_back(Entry one) { room_.lend(line_, std::move(one)); }
  void pop_front() { room_.take_back(line_, line_.begin()); }
  template <class Unwanted>
  void erase_if(Unwanted&& unwanted) {
    for (auto at = line_.begin(); at != line_.end();) {
      at = unwanted(*at) ? room_.take_back(line_, at) : std::next(at);
    }
  }
  /// All that waits; nothing does any more.
  std::list<Entry> take_all() noexcept { return std::exchange(line_, {}); }
  /// For the bytes of an entry to come: empty, with room where some is left over.
  std::vector<std::byte> bytes() { return room_.bytes(); }

 private:
  outbox_room<Entry>& room_;
  std::list<Entry> line_;
};

}  // namespace cpgring::cpg
