// What one client of the embedded service asks can't take anything from another, nor from the service.
#include <cstring>
#include <set>

#include "base/checked_read.hpp"
#include "cpg/encode.hpp"
#include "support/raw_connection.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

namespace wire = cpg::wire;

std::int32_t status_of(const std::vector<std::byte>& answer) {
  return answer.size() < wire::response_header_bytes ? 0 : base::read_once_i32(answer.data() + wire::header_error);
}

class hostile_client : public testing::Test {
 protected:
  /// The answer's status, and the token of the iteration.
  static std::pair<std::int32_t, std::uint64_t> begin_iteration(ipc::connection& from, std::uint32_t type) {
    namespace w = wire::iteration_initialize_request;
    auto request = cpg::make_request(wire::request::iteration_initialize, w::bytes);
    std::memset(request.data() + w::name, 0xff, wire::name_bytes);  // as stock libcpg may leave it
    cpg::put(request.data() + w::type, type);
    const auto answer = ask_raw(from, request);
    return {status_of(answer), answer.size() < wire::iteration_initialize_response::bytes
                                   ? 0
                                   : base::read_once_u64(answer.data() + wire::iteration_initialize_response::handle)};
  }
  static std::int32_t with_token(ipc::connection& from, wire::request id, std::uint64_t token) {
    static_assert(wire::iteration_next_request::handle == wire::iteration_finalize_request::handle);
    auto request = cpg::make_request(id, wire::iteration_next_request::bytes);
    cpg::put(request.data() + wire::iteration_next_request::handle, token);
    return status_of(ask_raw(from, request));
  }

  embedded_service service;
};

TEST_F(hostile_client, iterations_need_no_name_unless_they_are_of_one_group) {
  auto client = raw_connect(service.name(), 65536);
  EXPECT_EQ(begin_iteration(client, 1).first, wire::status::ok);
  EXPECT_EQ(begin_iteration(client, 3).first, wire::status::ok);
  EXPECT_EQ(begin_iteration(client, wire::iteration_initialize_request::one_group).first, wire::status::name_too_long);
}

TEST_F(hostile_client, an_iteration_belongs_to_the_connection_that_began_it) {
  world w;
  witness member;
  auto options = w.options("g");
  options.service = service.name();
  ASSERT_TRUE(w.loop().open(options, member.record()));
  ASSERT_TRUE(w.until([&] { return member.is(handle_state::joined); }));
  auto owner = raw_connect(service.name(), 65536), thief = raw_connect(service.name(), 65536);
  const auto [status, token] = begin_iteration(owner, 3);
  ASSERT_EQ(status, wire::status::ok);
  EXPECT_EQ(with_token(thief, wire::request::iteration_next, token), wire::status::library);
  EXPECT_EQ(with_token(thief, wire::request::iteration_finalize, token), wire::status::library);
  EXPECT_EQ(with_token(owner, wire::request::iteration_next, token), wire::status::ok);
  EXPECT_EQ(with_token(owner, wire::request::iteration_finalize, token), wire::status::ok);
}

TEST_F(hostile_client, the_iterations_of_one_client_are_limited) {
  auto client = raw_connect(service.name(), 65536);
  std::set<std::uint64_t> tokens;
  for (int i = 0; i < 64; ++i) {
    const auto [status, token] = begin_iteration(client, 3);
    ASSERT_EQ(status, wire::status::ok) << i;
    tokens.insert(token);
  }
  EXPECT_EQ(tokens.size(), 64U);
  EXPECT_EQ(begin_iteration(client, 3).first, wire::status::no_memory);
  auto other = raw_connect(service.name(), 65536);
  EXPECT_EQ(begin_iteration(other, 3).first, wire::status::ok);
  EXPECT_EQ(with_token(client, wire::request::iteration_finalize, *tokens.begin()), wire::status::ok);
  EXPECT_EQ(begin_iteration(client, 3).first, wire::status::ok);
}

}  // namespace
}  // namespace cpgring::test
