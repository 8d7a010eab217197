#include "cpg/awaited.hpp"

namespace cpgring::cpg {

awaited& awaited_list::add(std::size_t bytes, base::time_point deadline, awaited::told_function done) {
  awaited& one = list_.emplace_back(bytes, deadline, std::move(done));
  if (next_ == list_.end()) {
    next_ = std::prev(list_.end());
  }
  if (!earliest_ || deadline < *earliest_) {
    earliest_ = deadline;
  }
  return one;
}

awaited* awaited_list::next_back() noexcept {
  while (next_ != list_.end() && next_->decided_ && next_->number_ == 0) {
    ++next_;  // was never sent
  }
  if (next_ == list_.end() || next_->number_ != back_) {
    return nullptr;
  }
  free_window(*next_);
  return &*next_++;
}

void awaited_list::free_window(awaited& one) noexcept {
  if (std::exchange(one.in_window_, false)) {
    freed_ += one.bytes_ + overhead;
  }
}

void awaited_list::fail(awaited& one, const error& why) {
  one.decided_ = true;
  one.fate_ = one.written() || all_unknown_ ? multicast_fate::unknown : multicast_fate::not_sent;
  one.cause_ = why;
  if (!one.written()) {
    ++unsent_;
    free_window(one);
  }
}

void awaited_list::erase(std::list<awaited>::iterator which) {
  if (which == next_) {
    ++next_;
  }
  free_window(*which);
  unsent_ -= which->number_ == 0 ? 1U : 0U;
  list_.erase(which);
}

void awaited_list::close_window() noexcept {
  for (awaited& one : list_) {
    free_window(one);
  }
}

std::size_t awaited_list::sweep() {
  // SYNC awaited_told: see awaited::tell().
  const auto told = [](const awaited& one) { return one.told_.load(std::memory_order_acquire); };
  const auto unsent = [](const awaited& one) { return one.decided_ && one.number_ == 0; };
  while (!list_.empty() && (list_.begin() != next_ || unsent(list_.front())) && told(list_.front())) {
    erase(list_.begin());
  }
  // A pass over the whole list once in as many calls as it is long: a constant cost for each call.
  if (unsent_ != 0 && ++calls_since_pass_ >= list_.size()) {
    calls_since_pass_ = 0;
    for (auto at = list_.begin(); at != list_.end();) {
      const auto here = at++;
      if (unsent(*here) && told(*here)) {
        erase(here);
      }
    }
  }
  return std::exchange(freed_, 0);
}

}  // namespace cpgring::cpg
