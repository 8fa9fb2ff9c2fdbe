#include "../api.h"

#include <stdbool.h>

/* What a first byte says, msgpack's specification: how many bytes follow as a number, and what that
 * number counts. */
typedef enum kind { NUMBER, STR, BIN, LIST, MAP, OTHER, ALIEN } kind;

typedef struct head {
    kind kind;
    uint8_t width;  /* of the number, big-endian */
    uint64_t count; /* where it is in the first byte: bytes, items or entries */
} head;

static head head_of(uint8_t first)
{
    if (first <= 0x7f || first >= 0xe0)
        return (head){NUMBER, 0, 0};
    if (first <= 0x8f)
        return (head){MAP, 0, first & 0x0f};
    if (first <= 0x9f)
        return (head){LIST, 0, first & 0x0f};
    if (first <= 0xbf)
        return (head){STR, 0, first & 0x1f};
    switch (first) {
    case 0xc0: /* nil */
    case 0xc2: /* false */
    case 0xc3: /* true */
        return (head){OTHER, 0, 0};
    case 0xca: /* float */
        return (head){OTHER, 0, 4};
    case 0xcb:
        return (head){OTHER, 0, 8};
    case 0xc4: /* bin */
        return (head){BIN, 1, 0};
    case 0xc5:
        return (head){BIN, 2, 0};
    case 0xc6:
        return (head){BIN, 4, 0};
    case 0xd9:
        return (head){STR, 1, 0};
    case 0xda:
        return (head){STR, 2, 0};
    case 0xdb:
        return (head){STR, 4, 0};
    case 0xcc: /* uint */
    case 0xd0: /* int */
        return (head){NUMBER, 0, 1};
    case 0xcd:
    case 0xd1:
        return (head){NUMBER, 0, 2};
    case 0xce:
    case 0xd2:
        return (head){NUMBER, 0, 4};
    case 0xcf:
    case 0xd3:
        return (head){NUMBER, 0, 8};
    case 0xdc:
        return (head){LIST, 2, 0};
    case 0xdd:
        return (head){LIST, 4, 0};
    case 0xde:
        return (head){MAP, 2, 0};
    case 0xdf:
        return (head){MAP, 4, 0};
    default: /* 0xc1, which is nothing, and extension types */
        return (head){ALIEN, 0, 0};
    }
}

static bool take(uint64_t *left, uint64_t count)
{
    if (count > *left)
        return false;
    *left -= count;
    return true;
}

int32_t zt_plain_scan(const void *data, uint64_t size, uint32_t depth, uint64_t *values, uint64_t *ret_used)
{
    const uint8_t *bytes = data;
    uint64_t missing[ZT_PLAIN_DEEPEST]; /* of each list and map that we are in */
    bool is_map[ZT_PLAIN_DEEPEST];
    uint64_t at = 0, left = *values;
    uint32_t level = 0;
    if (depth > ZT_PLAIN_DEEPEST)
        depth = ZT_PLAIN_DEEPEST;
    if (!take(&left, 1))
        return ZT_PLAIN_TOO_MANY;
    do {
        if (at == size)
            return ZT_PLAIN_SHORT;
        head head = head_of(bytes[at++]);
        if (head.kind == ALIEN)
            return ZT_PLAIN_ALIEN;
        if (head.width > size - at)
            return ZT_PLAIN_SHORT;
        for (uint8_t i = 0; i < head.width; i++)
            head.count = head.count << 8 | bytes[at++];
        if (level) {
            bool is_key = is_map[level - 1] && missing[level - 1] % 2 == 0;
            if (is_key && head.kind != STR && head.kind != NUMBER)
                return ZT_PLAIN_ALIEN;
            missing[level - 1]--;
        }
        if (head.kind == LIST || head.kind == MAP) {
            uint64_t within = head.kind == MAP ? 2 * head.count : head.count;
            if (head.kind == MAP && head.count > ZT_PLAIN_WIDEST_MAP)
                return ZT_PLAIN_TOO_MANY;
            if (!take(&left, within))
                return ZT_PLAIN_TOO_MANY;
            if (within > size - at) /* each has a byte at least */
                return ZT_PLAIN_SHORT;
            if (level == depth)
                return ZT_PLAIN_TOO_DEEP;
            is_map[level] = head.kind == MAP;
            missing[level++] = within;
        } else {
            if (head.count > size - at)
                return ZT_PLAIN_SHORT;
            if (!take(&left, head.count / ZT_PLAIN_STRIDE))
                return ZT_PLAIN_TOO_MANY;
            at += head.count;
        }
        while (level && !missing[level - 1])
            level--;
    } while (level);
    *values = left;
    *ret_used = at;
    return 0;
}
