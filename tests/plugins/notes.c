/* SPDX-License-Identifier: Apache-2.0 */
/* notes.c: manifests that are not as they should be; one of the NOTE_* macros chooses. */
#include "berth/plugin.h"

/* A note from the operands of its fields; BODY holds the labels 7 and 8 around the JSON. */
#define NOTE(label, owner_size, json_size, type, owner, body)                                      \
    ".balign 4\n" label ":\n.long " owner_size "\n.long " json_size "\n.long " type                \
    "\n.ascii \"" owner "\\0\\0\\0\"\n" body ".balign 4\n"
#define BODY(json)                "7: .ascii \"" json "\"\n8:\n"
#define USUAL(label, type, owner) NOTE(label, "6", "8f - 7f", type, owner, BODY(GOOD))
#define WITH(json)                NOTE(LABEL, "6", "8f - 7f", "0x42450000", "berth", BODY(json))

#define LABEL "berth_manifest_note"
#define GOOD                                                                                       \
    "{\\\"name\\\":\\\"x\\\",\\\"version\\\":\\\"1.0.0\\\",\\\"abi\\\":[0,0],"                     \
    "\\\"kinds\\\":[{\\\"name\\\":\\\"x\\\"}]}"

#if defined(NOTE_NONE)
const berth_note berth_manifest_note = {0};
#define NOTES ""
#elif defined(NOTE_MAJOR_99)
#define NOTES USUAL(LABEL, "0x42450063", "berth")
#elif defined(NOTE_OTHER_OWNER)
#define NOTES USUAL(LABEL, "0x42450000", "mooor")
#elif defined(NOTE_TWO)
#define NOTES USUAL(LABEL, "0x42450000", "berth") USUAL("second", "0x42450000", "berth")
#elif defined(NOTE_TRUNCATED)
#define NOTES NOTE(LABEL, "6", "8f - 7f + 4096", "0x42450000", "berth", BODY(GOOD))
#elif defined(NOTE_CUT_HEAD)
#define NOTES ".balign 4\n" LABEL ": .long 6\n.long 2\n"
#elif defined(NOTE_HUGE)
#define NOTES NOTE(LABEL, "0xffffffff", "0xffffffff", "0x42450000", "berth", BODY(GOOD))
#elif defined(NOTE_EMPTY)
#define NOTES NOTE(LABEL, "6", "0", "0x42450000", "berth", "")
#elif defined(NOTE_TEXT)
#define NOTES WITH("name = x")
#elif defined(NOTE_LIST)
#define NOTES WITH("[1]")
#elif defined(NOTE_NOT_UTF8)
#define NOTES WITH("{\\\"name\\\":\\\"\\377\\\"}")
#elif defined(NOTE_DUPLICATE_KEY)
#define NOTES WITH("{\\\"name\\\":\\\"x\\\",\\\"name\\\":\\\"y\\\"}")
#elif defined(NOTE_TRAILING)
#define NOTES WITH(GOOD "}")
#elif defined(NOTE_DEEP)
#define NOTES                                                                                      \
    NOTE(LABEL, "6", "8f - 7f", "0x42450000", "berth", "7: .rept 10000\n.ascii \"[\"\n.endr\n8:\n")
#else
#error "which note?"
#endif

__asm__(".pushsection .note.berth,\"a\",@note\n"
        ".globl " LABEL "\n.hidden " LABEL "\n" NOTES ".popsection\n");
