// The arithmetic of element.h on vectors, compiled once for every SIMD target.
#if defined(SHADOWSERVE_ELEMENT_SIMD_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef SHADOWSERVE_ELEMENT_SIMD_INL
#undef SHADOWSERVE_ELEMENT_SIMD_INL
#else
#define SHADOWSERVE_ELEMENT_SIMD_INL
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "chunk/kv_geometry.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

// Where the conversion is one instruction it rounds to nearest even; Highway's emulation elsewhere truncates.
#undef SHADOWSERVE_NATIVE_FP16
#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2 && !defined(HWY_DISABLE_F16C)) || HWY_ARCH_ARM_A64
#define SHADOWSERVE_NATIVE_FP16 1
#else
#define SHADOWSERVE_NATIVE_FP16 0
#endif

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using I32 = hn::RebindToSigned<F32>;
using U32 = hn::RebindToUnsigned<F32>;
using U16Half = hn::Rebind<uint16_t, F32>;  // as many lanes as F32
using F16Half = hn::Rebind<hwy::float16_t, F32>;
using U8Quarter = hn::Rebind<uint8_t, F32>;
using VF32 = hn::Vec<F32>;
using VU16Half = hn::Vec<U16Half>;

// These buffers have no alignment; Highway's LoadU needs none, but wants the type.
HWY_INLINE const uint16_t* as16(const uint8_t* from) { return reinterpret_cast<const uint16_t*>(from); }
HWY_INLINE uint16_t* as16(uint8_t* to) { return reinterpret_cast<uint16_t*>(to); }

HWY_INLINE VF32 widen_bf16(VU16Half bits) {
  return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(U32(), bits)));
}

template <ElementType kType>
HWY_INLINE VF32 widen(VU16Half bits) {
  if constexpr (kType == ElementType::kBf16) return widen_bf16(bits);
#if SHADOWSERVE_NATIVE_FP16
  return hn::PromoteTo(F32(), hn::BitCast(F16Half(), bits));
#else
  const U32 du;
  const auto wide = hn::PromoteTo(du, bits);
  const auto magnitude = hn::BitCast(F32(), hn::ShiftLeft<13>(hn::And(wide, hn::Set(du, 0x7fff))));
  const auto sign = hn::ShiftLeft<16>(hn::And(wide, hn::Set(du, 0x8000)));
  return hn::BitCast(F32(), hn::Or(hn::BitCast(du, hn::Mul(magnitude, hn::Set(F32(), 0x1p112f))), sign));
#endif
}

/// To the nearest integer, ties to even. Highway's targets without vectors round 0.49999997 up, so they take
/// the C library's answer.
HWY_INLINE hn::Vec<I32> nearest_int(VF32 value) {
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  HWY_ALIGN float from[HWY_MAX_BYTES / sizeof(float)];
  HWY_ALIGN int32_t to[HWY_MAX_BYTES / sizeof(int32_t)];
  hn::Store(value, F32(), from);
  for (size_t i = 0; i < hn::Lanes(F32()); ++i) to[i] = static_cast<int32_t>(std::lrintf(from[i]));
  return hn::Load(I32(), to);
#else
  return hn::NearestInt(value);
#endif
}

/// Round to nearest even; fp16 saturates.
template <ElementType kType>
HWY_INLINE VU16Half narrow(VF32 value) {
  const U32 du;
  const F32 df;
  if constexpr (kType == ElementType::kBf16) {
    const auto bits = hn::BitCast(du, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    return hn::TruncateTo(U16Half(), hn::ShiftRight<16>(bits + odd + hn::Set(du, 0x7fff)));
  }
  const auto bounded = hn::Min(hn::Max(value, hn::Set(df, -65504.0f)), hn::Set(df, 65504.0f));
#if SHADOWSERVE_NATIVE_FP16
  return hn::BitCast(U16Half(), hn::DemoteTo(F16Half(), bounded));
#else
  const auto bits = hn::BitCast(du, bounded);
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7fffffff));
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000));
  const auto shifted = hn::BitCast(df, magnitude) + hn::Set(df, 0.5f);
  const auto subnormal = hn::BitCast(du, shifted) - hn::Set(du, 0x3f000000);
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1));
  const auto normal = hn::ShiftRight<13>(magnitude + hn::Set(du, 0xc8000fff) + odd);
  // As signed numbers: both are positive, and every target compares those.
  const I32 di;
  const auto is_subnormal = hn::Lt(hn::BitCast(di, magnitude), hn::Set(di, 0x38800000));
  const auto chosen = hn::IfThenElse(is_subnormal, hn::BitCast(di, subnormal), hn::BitCast(di, normal));
  return hn::TruncateTo(U16Half(), hn::Or(hn::BitCast(du, chosen), sign));
#endif
}

#if HWY_TARGET == HWY_SCALAR
using U16 = U16Half;
#else
using U16 = hn::Repartition<uint16_t, F32>;  // twice the lanes of F32
#endif
using VU16 = hn::Vec<U16>;

/// Two vectors of values that fit side by side into one of elements.
template <ElementType kType>
HWY_INLINE VU16 narrow_both(VF32 low, VF32 high) {
#if HWY_TARGET == HWY_SCALAR
  (void)high;
  return narrow<kType>(low);
#else
  if constexpr (kType == ElementType::kBf16) {
    // A bf16 is the upper half of a float: rounded, the odd 16-bit lanes are what is wanted.
    const U32 du;
    const auto rounded = [&](VF32 value) HWY_ATTR {
      const auto bits = hn::BitCast(du, value);
      const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
      return hn::BitCast(U16(), bits + odd + hn::Set(du, 0x7fff));
    };
    return hn::ConcatOdd(U16(), rounded(high), rounded(low));
  }
  return hn::Combine(U16(), narrow<kType>(high), narrow<kType>(low));
#endif
}

/// `kStream`: past the caches. REQUIRES alignment to the vector then.
template <bool kStream>
HWY_INLINE void put(VU16 elements, uint8_t* values) {
  if constexpr (kStream) {
    hn::Stream(elements, U16(), as16(values));
  } else {
    hn::StoreU(elements, U16(), as16(values));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#endif
