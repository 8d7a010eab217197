// Old payload that looks like ready chunks fills the ring, and a writer stops at each of its steps: the
// reader reads only chunks that the semaphore counts.
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "ipc/ring_reader.hpp"
#include "ipc/ring_writer.hpp"
#include "unit/ipc/qb_ring.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

/// libqb's writer, stopped between two of its steps.
class slow_writer {
 public:
  slow_writer(const qb_ring& qb, const shared_ring& shared) : qb_(qb), shared_(shared) {}

  [[nodiscard]] bool under_way() const { return at_ != nullptr; }
  /// False: no room. `steps`: 1 allocates and fills the chunk, 2 also stores the length and the write
  /// position, 3 also sets the magic to ready.
  bool begin(std::string bytes, std::uint32_t steps) {
    bytes_ = std::move(bytes);
    at_ = qb_rb_chunk_alloc(qb_.get(), bytes_.size());
    if (at_ == nullptr) {
      return false;
    }
    std::memcpy(at_, bytes_.data(), bytes_.size());
    start_ = *shared_.write_position();
    const auto size = static_cast<std::uint32_t>(bytes_.size());
    if (steps >= 2) {
      *shared_.word(start_) = size;
      __atomic_store_n(shared_.write_position(), (start_ + cf::words_of(size)) % shared_.words(),
                       __ATOMIC_SEQ_CST);
    }
    if (steps >= 3) {
      __atomic_store_n(shared_.word(start_ + 1), cf::magic_ready, __ATOMIC_SEQ_CST);
    }
    return true;
  }
  /// Repeats all steps through libqb; the last one posts the semaphore.
  std::string finish() {
    __atomic_store_n(shared_.write_position(), start_, __ATOMIC_SEQ_CST);
    EXPECT_EQ(qb_rb_chunk_commit(qb_.get(), bytes_.size()), 0);
    at_ = nullptr;
    return std::move(bytes_);
  }

 private:
  const qb_ring& qb_;
  const shared_ring& shared_;
  void* at_ = nullptr;
  std::uint32_t start_ = 0;
  std::string bytes_;
};

void fill_with_bait(const shared_ring& shared, std::uint64_t seed) {
  const std::string bytes = bait(shared.bytes(), seed);
  std::memcpy(shared.at(0), bytes.data(), bytes.size());
}

RC_GTEST_PROP(old_payload, is_never_read_by_our_reader_at_any_step_of_libqbs_writer, ()) {
  qb_ring qb(one_page);
  const shared_ring shared = qb.open_ours();
  fill_with_bait(shared, *rc::gen::arbitrary<std::uint64_t>());
  ring_reader reader(shared);
  slow_writer writer(qb, shared);
  std::deque<std::string> counted;
  std::uint64_t seed = 0;
  const auto steps = *rc::gen::container<std::vector<std::pair<std::uint32_t, std::uint32_t>>>(
      200, rc::gen::pair(rc::gen::inRange<std::uint32_t>(0, 7), rc::gen::inRange<std::uint32_t>(0, 0x10000)));
  for (const auto& [what, random] : steps) {
    if (what < 4) {
      if (writer.under_way()) {
        counted.push_back(writer.finish());
      }
      if (what != 0) {
        writer.begin(bait(random % (what == 3 ? 4085 : 60), ++seed), what);
      }
    } else if (what == 4) {
      reader.reclaim(random % (reader.leased() + 1));
    }
    // Always: exactly the counted chunks are readable, with the bytes that were written.
    RC_ASSERT(reader.collect() == counted.size());
    frame f;
    for (std::uint32_t i = 0; i < random % 4 && !counted.empty(); ++i) {
      RC_ASSERT(reader.next(f) == read_result::frame);
      RC_ASSERT(text(f) == counted.front());
      counted.pop_front();
    }
    if (counted.empty()) {
      RC_ASSERT(reader.next(f) == read_result::empty);
    }
  }
}

RC_GTEST_PROP(old_payload, is_never_read_by_libqb_while_our_writer_stages, ()) {
  qb_ring qb(one_page);
  const shared_ring shared = qb.open_ours();
  fill_with_bait(shared, *rc::gen::arbitrary<std::uint64_t>());
  ring_writer writer(shared);
  std::deque<std::string> staged, published;
  std::uint64_t seed = 0;
  const auto steps = *rc::gen::container<std::vector<std::pair<std::uint32_t, std::uint32_t>>>(
      200, rc::gen::pair(rc::gen::inRange<std::uint32_t>(0, 5), rc::gen::inRange<std::uint32_t>(0, 0x10000)));
  for (const auto& [what, random] : steps) {
    std::string bytes = bait(random % (what == 0 ? 4085 : 60), ++seed);
    if (what < 4) {
      if (std::byte* at = writer.reserve(static_cast<std::uint32_t>(bytes.size())); at != nullptr) {
        std::memcpy(at, bytes.data(), bytes.size());
        if (what == 3) {
          writer.abandon();
        } else {
          writer.stage(static_cast<std::uint32_t>(bytes.size()));
          staged.push_back(std::move(bytes));
        }
      }
    } else {
      RC_ASSERT(writer.publish() == staged.size());
      published.insert(published.end(), staged.begin(), staged.end());
      staged.clear();
    }
    for (std::uint32_t i = 0; i < random % 4; ++i) {
      const auto got = qb.read();
      RC_ASSERT(got.has_value() == !published.empty());
      if (got) {
        RC_ASSERT(*got == published.front());
        published.pop_front();
      }
    }
  }
}

}  // namespace
