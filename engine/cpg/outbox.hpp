// What waits to be written, in order. Its room is used again: a sender that is always ahead of the service costs no allocation. Not that of
// large messages: thousands of handles must not each keep the room of the largest that they ever sent.
#pragma once

#include <algorithm>
#include <boost/circular_buffer.hpp>
#include <cstddef>
#include <utility>
#include <vector>

namespace cpgring::cpg {

/// `Entry` has `bytes`, a vector.
template <class Entry>
class outbox {
 public:
  outbox() : line_(small) {}

  [[nodiscard]] bool empty() const noexcept { return line_.empty(); }
  [[nodiscard]] Entry& front() noexcept { return line_.front(); }
  auto begin() noexcept { return line_.begin(); }
  auto end() noexcept { return line_.end(); }
  auto begin() const noexcept { return line_.begin(); }
  auto end() const noexcept { return line_.end(); }
  void push_back(Entry one) {
    if (line_.full()) {
      line_.set_capacity(line_.capacity() * 2);
    }
    line_.push_back(std::move(one));
  }
  void pop_front() {
    auto& bytes = line_.front().bytes;
    if (bytes.capacity() != 0 && bytes.capacity() <= spare_max && spare_bytes_ + bytes.capacity() <= spare_bytes_max) {
      spare_bytes_ += bytes.capacity();
      spares_.push_back(std::move(bytes));
    }
    line_.pop_front();
  }
  template <class Unwanted>
  void erase_if(Unwanted&& unwanted) {
    line_.erase(std::remove_if(line_.begin(), line_.end(), unwanted), line_.end());
  }
  /// An empty vector, with room where some is left over.
  std::vector<std::byte> room() {
    if (spares_.empty()) {
      return {};
    }
    auto one = std::move(spares_.back());
    spares_.pop_back();
    spare_bytes_ -= one.capacity();
    one.clear();
    return one;
  }

 private:
  static constexpr std::size_t small = 8, spare_max = 16384, spare_bytes_max = 65536;
  boost::circular_buffer<Entry> line_;
  std::vector<std::vector<std::byte>> spares_;
  std::size_t spare_bytes_ = 0;
};

}  // namespace cpgring::cpg
