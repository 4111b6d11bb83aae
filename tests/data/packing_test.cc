#include "data/packing.h"

#include <gtest/gtest.h>

namespace stemma {
namespace {

using Ranges = std::vector<TokenRange>;

TEST(Packing, JoinIgnoresDocuments) {
  const std::vector<int64_t> bounds{0, 3, 3, 10};
  EXPECT_EQ(cut_sequences(bounds, Packing::join, 4, 0), (Ranges{{0, 4}, {4, 8}, {8, 10}}));
  EXPECT_EQ(cut_sequences(bounds, Packing::join, 5, 1), (Ranges{{0, 5}, {4, 9}, {8, 10}}));
  EXPECT_EQ(cut_sequences(bounds, Packing::join, 10, 1), (Ranges{{0, 10}}));
}

TEST(Packing, DocumentsStayApart) {
  const std::vector<int64_t> bounds{0, 3, 3, 4, 10};
  EXPECT_EQ(cut_sequences(bounds, Packing::documents, 4, 0),
            (Ranges{{0, 3}, {3, 4}, {4, 8}, {8, 10}}));
  // One token predicts nothing.
  EXPECT_EQ(cut_sequences(bounds, Packing::documents, 4, 1), (Ranges{{0, 3}, {4, 8}, {7, 10}}));
}

TEST(Packing, EveryTokenButTheFirstIsPredictedOnce) {
  for (int64_t tokens = 0; tokens < 40; ++tokens) {
    for (int64_t length = 1; length < 12; ++length) {
      std::vector<int> predicted(static_cast<size_t>(tokens));
      const std::vector<int64_t> bounds{0, tokens};
      for (const TokenRange& r : cut_sequences(bounds, Packing::join, length + 1, 1)) {
        EXPECT_LE(r.end - r.begin, length + 1);
        for (int64_t i = r.begin + 1; i < r.end; ++i) ++predicted[static_cast<size_t>(i)];
      }
      for (size_t i = 0; i < predicted.size(); ++i) EXPECT_EQ(predicted[i], i > 0 ? 1 : 0);
    }
  }
}

}  // namespace
}  // namespace stemma
