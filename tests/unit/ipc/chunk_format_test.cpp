// Compares the constants of chunk_format with a ring made by libqb.
#include "ipc/chunk_format.hpp"

#include <semaphore.h>
#include <sys/stat.h>

#include <cstring>

#include <gtest/gtest.h>

#include "unit/ipc/qb_ring.hpp"

namespace {

using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

TEST(chunk_format, header_field_offsets_match_libqb) {
  qb_ring qb(65536);
  const shared_ring ring = qb.open_ours();
  EXPECT_EQ(*ring.write_position(), 0U);
  EXPECT_EQ(ring.words(), 69632U / 4);
  EXPECT_EQ(*ring.reference_count(), 2U);
  *static_cast<std::int32_t*>(qb_rb_shared_user_data_get(qb.get())) = 77;
  EXPECT_EQ(*ring.user_word(), 77U);
  ASSERT_TRUE(qb.write("12345"));
  EXPECT_EQ(*ring.write_position(), 4U);
  EXPECT_EQ(cf::value_of(*ring.semaphore()), 1U);
  EXPECT_EQ(*ring.word(0), 5U);
  EXPECT_EQ(*ring.word(1), cf::magic_ready);
  ASSERT_TRUE(qb.read());
  EXPECT_EQ(*ring.read_position(), 4U);
  EXPECT_EQ(*ring.word(0), 0U);
  EXPECT_EQ(*ring.word(1), cf::magic_consumed);
  ASSERT_NE(qb_rb_chunk_alloc(qb.get(), 8), nullptr);
  EXPECT_EQ(*ring.word(5), cf::magic_being_written);
  struct stat st {};
  ASSERT_EQ(::stat((qb.base() + "-header").c_str(), &st), 0);
  EXPECT_GE(st.st_size, static_cast<off_t>(cf::header_bytes));
}

TEST(chunk_format, semaphore_value_and_waiters_match_glibc) {
  alignas(8) sem_t semaphore;
  ASSERT_EQ(sem_init(&semaphore, 1, 5), 0);
  std::uint64_t word = 0;
  std::memcpy(&word, &semaphore, sizeof word);
  EXPECT_EQ(cf::value_of(word), 5U);
  EXPECT_EQ(cf::waiters_of(word), 0U);
  sem_post(&semaphore);
  std::memcpy(&word, &semaphore, sizeof word);
  EXPECT_EQ(cf::value_of(word), 6U);
  sem_destroy(&semaphore);
}

TEST(chunk_format, distance_wraps_around_the_end_of_the_ring) {
  EXPECT_EQ(cf::distance(3, 3, 1024), 0U);
  EXPECT_EQ(cf::distance(3, 10, 1024), 7U);
  EXPECT_EQ(cf::distance(1020, 2, 1024), 6U);
  EXPECT_EQ(cf::distance(1, 0, 1024), 1023U);
}

}  // namespace
