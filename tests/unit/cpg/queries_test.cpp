// Queries and the iterations that implement them. The test plays the service.
#include "cpg/queries.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "unit/cpg/session_parts.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::cpg;
using namespace cpgring::cpg::test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct query_sets : ::testing::Test {
  void SetUp() override {
    line.attach(service.connect_owned());
    line.set_now(at_ms(0));
  }
  std::vector<std::string> exchange() {
    no_multicasts none;
    EXPECT_TRUE(line.write(none));
    service.take_doorbells();
    return describe_all(service);
  }
  void take_answers() { ASSERT_TRUE(line.take_answers()); }
  void end_of_list() { answer(service, wire::response::iteration_next, wire::status::no_sections); }
  void members(const std::string& group, const std::string& name) {
    ASSERT_TRUE(asks.members(group, [this, name](const result<std::vector<member_address>>& r) {
      std::string text = name + ':';
      if (!r) {
        text += ' ' + r.error().message();
      } else {
        for (const auto& one : *r) {
          text += ' ' + std::to_string(one.node_id) + '/' + std::to_string(one.pid);
        }
      }
      outcomes.push_back(text);
    }));
  }
  /// Runs the completions of all answers; returns the outcomes.
  const std::vector<std::string>& finish() {
    describe_all(answers);
    return outcomes;
  }

  in_process_service service;
  request_line line;
  std::deque<notice> answers;
  queries asks{std::chrono::milliseconds(100), line, answers};
  std::vector<std::string> outcomes;
};

TEST_F(query_sets, list_members_through_one_iteration_and_end_it) {
  members("g", "m");
  EXPECT_THAT(exchange(), ElementsAre("begin g"));
  answer_iteration(service, 7);
  take_answers();
  EXPECT_THAT(exchange(), ElementsAre("next 7"));
  answer_row(service, "g", 2, 20);
  take_answers();
  EXPECT_THAT(exchange(), ElementsAre("next 7"));
  answer_row(service, "g", 1, 30);
  take_answers();
  exchange();
  end_of_list();
  take_answers();
  EXPECT_THAT(finish(), ElementsAre("m: 1/30 2/20")) << "sorted";
  EXPECT_THAT(exchange(), ElementsAre("end 7"));
}

TEST_F(query_sets, list_members_with_the_iteration_type_that_stock_services_survive) {
  members("g", "m");
  no_multicasts none;
  ASSERT_TRUE(line.write(none));
  const auto request = service.take_request();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->id(), wire::request::iteration_initialize);
  EXPECT_EQ(request->u32(wire::iteration_initialize_request::type),
            wire::iteration_initialize_request::one_group);
}

TEST_F(query_sets, list_all_groups) {
  std::string text;
  asks.groups([&](const result<std::vector<group_entry>>& r) {
    ASSERT_TRUE(r);
    for (const auto& one : *r) {
      text += one.group + ' ' + std::to_string(one.node_id) + '/' + std::to_string(one.pid) + ' ';
    }
  });
  no_multicasts none;
  ASSERT_TRUE(line.write(none));
  EXPECT_EQ(service.take_request()->u32(wire::iteration_initialize_request::type),
            wire::iteration_initialize_request::all);
  answer_iteration(service, 1);
  take_answers();
  exchange();
  answer_row(service, "b", 1, 2);
  take_answers();
  exchange();
  answer_row(service, "a", 3, 4);
  take_answers();
  exchange();
  end_of_list();
  take_answers();
  finish();
  EXPECT_EQ(text, "b 1/2 a 3/4 ") << "in the order of the service";
}

TEST_F(query_sets, refuse_a_name_out_of_range) {
  EXPECT_EQ(asks.members("", {}).error(), errc::invalid_param);
  EXPECT_EQ(asks.members(std::string(129, 'x'), {}).error(), errc::invalid_param);
  EXPECT_THAT(exchange(), IsEmpty());
}

TEST_F(query_sets, refuse_a_row_of_another_group) {
  members("g", "m");
  exchange();
  answer_iteration(service, 7);
  take_answers();
  exchange();
  answer_row(service, "h", 1, 2);
  take_answers();
  EXPECT_THAT(finish(), ElementsAre(HasSubstr("member of another group")));
  EXPECT_THAT(exchange(), ElementsAre("end 7"));
}

TEST_F(query_sets, refuse_a_list_longer_than_rows_max) {
  members("g", "m");
  exchange();
  answer_iteration(service, 7);
  take_answers();
  for (std::size_t i = 0; i <= queries::rows_max; ++i) {
    ASSERT_THAT(exchange(), SizeIs(1)) << i;
    answer_row(service, "g", 1, 2);
    take_answers();
  }
  EXPECT_THAT(finish(), ElementsAre(HasSubstr("without an end")));
  EXPECT_THAT(exchange(), ElementsAre("end 7"));
}

TEST_F(query_sets, report_refusals_of_the_service) {
  members("g", "begin");
  exchange();
  answer(service, wire::response::iteration_initialize, wire::status::no_memory);
  take_answers();
  EXPECT_THAT(exchange(), IsEmpty()) << "no iteration was begun";
  members("g", "next");
  exchange();
  answer_iteration(service, 7);
  take_answers();
  exchange();
  answer(service, wire::response::iteration_next, wire::status::library);
  take_answers();
  EXPECT_THAT(finish(), ElementsAre(HasSubstr("begin: the service refused to list a group's members"),
                                    HasSubstr("next: the service refused")));
  EXPECT_THAT(exchange(), ElementsAre("end 7"));
}

TEST_F(query_sets, open_at_most_iterations_max) {
  for (int i = 0; i < 12; ++i) {
    members(std::to_string(i), std::to_string(i));
  }
  EXPECT_THAT(exchange(), SizeIs(queries::iterations_max));
  for (std::uint64_t i = 0; i < queries::iterations_max; ++i) {
    answer_iteration(service, i);
  }
  take_answers();
  EXPECT_THAT(exchange(), SizeIs(queries::iterations_max)) << "requests for the first rows";
  end_of_list();
  take_answers();
  EXPECT_THAT(exchange(), ElementsAre("end 0"));
  end_of_list();
  take_answers();
  EXPECT_THAT(exchange(), ElementsAre("begin 8"));
  EXPECT_EQ(asks.next_deadline(), at_ms(100)) << "deadline of the waiting queries";
}

TEST_F(query_sets, reuse_the_slot_of_a_refused_begin) {
  for (int i = 0; i < 9; ++i) {
    members("g", std::to_string(i));
  }
  exchange();
  answer(service, wire::response::iteration_initialize, wire::status::no_memory);
  take_answers();
  EXPECT_THAT(exchange(), ElementsAre("begin g"));
}

TEST_F(query_sets, time_out_before_they_have_begun) {
  service.set_flow_control(2);
  for (int i = 0; i < 10; ++i) {
    members("g", std::to_string(i));
  }
  exchange();
  asks.expire(at_ms(100));
  line.expire(at_ms(100));
  EXPECT_THAT(finish(), SizeIs(10));
  service.set_flow_control(0);
  EXPECT_THAT(exchange(), IsEmpty());
  for (int i = 0; i < 9; ++i) {
    members("g", std::to_string(i));
  }
  EXPECT_THAT(exchange(), SizeIs(8)) << "all slots are free again";
}

TEST_F(query_sets, end_an_iteration_begun_after_its_deadline) {
  for (int i = 0; i < 9; ++i) {
    members("g", std::to_string(i));
  }
  exchange();
  line.set_now(at_ms(100));
  line.expire(at_ms(100));
  EXPECT_THAT(finish(), SizeIs(8));
  EXPECT_THAT(exchange(), IsEmpty()) << "the service may have begun eight iterations";
  answer_iteration(service, 5);
  take_answers();
  EXPECT_THAT(exchange(), ElementsAre("end 5", "begin g"));
}

TEST_F(query_sets, end_the_iteration_after_a_timeout_between_rows) {
  members("g", "m");
  exchange();
  answer_iteration(service, 7);
  take_answers();
  exchange();
  line.expire(at_ms(100));
  EXPECT_THAT(finish(), SizeIs(1));
  EXPECT_THAT(exchange(), ElementsAre("end 7"));
}

TEST_F(query_sets, fail_and_send_nothing_once_stopped) {
  for (int i = 0; i < 10; ++i) {
    members("g", std::to_string(i));
  }
  exchange();
  answer_iteration(service, 7);
  take_answers();
  exchange();
  asks.stop();
  line.fail_all(error(errc::service_lost));
  asks.fail_all(error(errc::service_lost));
  EXPECT_THAT(finish(), SizeIs(10));
  EXPECT_FALSE(line.busy());
}

TEST_F(query_sets, end_no_iteration_once_stopped) {
  members("g", "m");
  exchange();
  line.expire(at_ms(100));
  asks.stop();
  answer_iteration(service, 7);
  take_answers();
  EXPECT_THAT(exchange(), IsEmpty()) << "no request may follow FINALIZE";
}

TEST_F(query_sets, ask_for_the_local_node) {
  std::vector<std::string> all;
  const auto note = [&](const result<std::uint32_t>& r) {
    all.push_back(r ? std::to_string(*r) : r.error().code.message());
  };
  asks.local_node(note);
  asks.local_node(note);
  asks.local_node(note);
  EXPECT_THAT(exchange(), ElementsAre("local_get", "local_get", "local_get"));
  answer_local_node(service, 17);
  answer(service, wire::response::local_get, wire::status::try_again);
  take_answers();
  line.expire(at_ms(100));
  finish();
  EXPECT_THAT(all,
              ElementsAre("17", error(errc::try_again).code.message(), error(errc::timeout).code.message()));
}

TEST_F(query_sets, complete_a_flush_with_any_answer) {
  std::vector<bool> all;
  const auto note = [&](const result<void>& r) { all.push_back(r.has_value()); };
  asks.flush(note, at_ms(50));
  asks.flush(note, at_ms(50));
  asks.flush(note, at_ms(10));
  exchange();
  answer_local_node(service, 1);
  answer(service, wire::response::local_get, wire::status::try_again);
  take_answers();
  EXPECT_EQ(line.next_deadline(), at_ms(10));
  line.expire(at_ms(10));
  finish();
  EXPECT_THAT(all, ElementsAre(true, true, false));
}

/// Random lists, some refused, some late, some never answered: each query completes once, each iteration that
/// was begun is ended, and at most iterations_max are open.
RC_GTEST_PROP(query_sets_property, complete_each_once_and_end_each_iteration, ()) {
  in_process_service service;
  request_line line;
  line.attach(service.connect_owned());
  line.set_now(at_ms(0));
  std::deque<notice> answers;
  queries asks(std::chrono::milliseconds(50), line, answers);
  std::vector<int> completions;
  std::size_t open = 0, ended = 0, begun = 0;
  int clock = 0;
  const auto serve_one = [&](int choice) {
    const auto one = service.take_request();
    if (!one) {
      return;
    }
    switch (one->id()) {
      case wire::request::iteration_initialize:
        if (choice == 0) {
          answer(service, wire::response::iteration_initialize, wire::status::no_memory);
        } else {
          answer_iteration(service, ++begun);
          RC_ASSERT(++open <= queries::iterations_max);
        }
        return;
      case wire::request::iteration_next:
        if (choice <= 2) {
          answer(service, wire::response::iteration_next, wire::status::no_sections);
        } else {
          answer_row(service, "g", 1, 1);
        }
        return;
      default:
        RC_ASSERT(one->id() == wire::request::iteration_finalize);
        --open;
        ++ended;
        answer(service, wire::response::iteration_finalize);
    }
  };
  no_multicasts none;
  const auto progress = [&] {
    line.set_now(at_ms(clock));
    asks.expire(at_ms(clock));
    line.expire(at_ms(clock));
    RC_ASSERT(line.take_answers());
    RC_ASSERT(line.write(none));
    describe_all(answers);
  };
  for (const int step : *rc::gen::container<std::vector<int>>(120, rc::gen::inRange(0, 12))) {
    if (step <= 2) {
      const std::size_t index = completions.size();
      completions.push_back(0);
      RC_ASSERT(asks.members("g", [&completions, index](const auto&) { ++completions[index]; }));
    } else if (step <= 7) {
      serve_one(step);
    } else if (step == 8) {
      clock += 20;
    } else {
      progress();
    }
  }
  for (int round = 0; round < 400; ++round) {
    progress();
    while (service.requests_waiting() != 0) {
      serve_one(1);
    }
  }
  RC_ASSERT(open == 0U && ended == begun);
  RC_ASSERT(std::all_of(completions.begin(), completions.end(), [](int n) { return n == 1; }));
}

}  // namespace
