"""command_status by name, and what each one advises its receiver to do (SMPP 3.4, 5.1.3).

Owns the names of 3.4 and 5.0 and the default advice; knows no retries and no links. Unknown
values stay plain integers everywhere.
"""

from collections.abc import Mapping
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Final


class Status(IntEnum):
    """command_status. Where 5.0 renamed one, 3.4's name is used and 5.0's is an alias."""

    ESME_ROK = 0x00
    ESME_RINVMSGLEN = 0x01
    ESME_RINVCMDLEN = 0x02
    ESME_RINVCMDID = 0x03
    ESME_RINVBNDSTS = 0x04
    ESME_RALYBND = 0x05
    ESME_RINVPRTFLG = 0x06
    ESME_RINVREGDLVFLG = 0x07
    ESME_RSYSERR = 0x08
    ESME_RINVSRCADR = 0x0A
    ESME_RINVDSTADR = 0x0B
    ESME_RINVMSGID = 0x0C
    ESME_RBINDFAIL = 0x0D
    ESME_RINVPASWD = 0x0E
    ESME_RINVSYSID = 0x0F
    ESME_RCANCELFAIL = 0x11
    ESME_RREPLACEFAIL = 0x13
    ESME_RMSGQFUL = 0x14
    ESME_RINVSERTYP = 0x15
    ESME_RINVNUMDESTS = 0x33
    ESME_RINVDLNAME = 0x34
    ESME_RINVDESTFLAG = 0x40
    ESME_RINVSUBREP = 0x42
    ESME_RINVESMCLASS = 0x43
    ESME_RCNTSUBDL = 0x44
    ESME_RSUBMITFAIL = 0x45
    ESME_RINVSRCTON = 0x48
    ESME_RINVSRCNPI = 0x49
    # The numbering jumps here: 0x4A and 0x4B are reserved.
    ESME_RINVDSTTON = 0x50
    ESME_RINVDSTNPI = 0x51
    ESME_RINVSYSTYP = 0x53
    ESME_RINVREPFLAG = 0x54
    ESME_RINVNUMMSGS = 0x55
    ESME_RTHROTTLED = 0x58
    ESME_RINVSCHED = 0x61
    ESME_RINVEXPIRY = 0x62
    ESME_RINVDFTMSGID = 0x63
    ESME_RX_T_APPN = 0x64
    ESME_RX_P_APPN = 0x65
    ESME_RX_R_APPN = 0x66
    ESME_RQUERYFAIL = 0x67
    ESME_RINVOPTPARSTREAM = 0xC0
    ESME_ROPTPARNOTALLWD = 0xC1
    ESME_RINVPARLEN = 0xC2
    ESME_RMISSINGOPTPARAM = 0xC3
    ESME_RINVOPTPARAMVAL = 0xC4
    ESME_RDELIVERYFAILURE = 0xFE
    ESME_RUNKNOWNERR = 0xFF

    # SMPP 5.0
    ESME_RSERTYPUNAUTH = 0x100
    ESME_RPROHIBITED = 0x101
    ESME_RSERTYPUNAVAIL = 0x102
    ESME_RSERTYPDENIED = 0x103
    ESME_RINVDCS = 0x104
    ESME_RINVSRCADDRSUBUNIT = 0x105
    ESME_RINVDSTADDRSUBUNIT = 0x106
    ESME_RINVTLVSTREAM = 0xC0
    ESME_RTLVNOTALLWD = 0xC1
    ESME_RINVTLVLEN = 0xC2
    ESME_RMISSINGTLV = 0xC3
    ESME_RINVTLVVAL = 0xC4


class Advice(Enum):
    """What the receiver of a status should do. Anything but OK means *not accepted*."""

    OK = "accepted"
    RETRY = "the same message later, a bounded number of times"
    SLOW = "pause the whole bind, then retry"
    GIVE_UP = "this message or destination is refused for good"
    OURS = "our encoding, configuration or state is wrong: no retry, an alarm"
    BIND = "the bind was refused: back off slowly, an alarm"


def _spread(groups: Mapping[Advice, tuple[Status, ...]]) -> Mapping[int, Advice]:
    return MappingProxyType({int(s): how for how, group in groups.items() for s in group})


_S = Status

#: Advice for every status that isn't OURS; the specification names codes, practice sorted them.
_ADVICE: Final = _spread(
    {
        Advice.OK: (_S.ESME_ROK,),
        Advice.RETRY: (
            _S.ESME_RSYSERR,
            _S.ESME_RSUBMITFAIL,
            _S.ESME_RX_T_APPN,
            _S.ESME_RQUERYFAIL,
            _S.ESME_RDELIVERYFAILURE,  # delivery_failure_reason 1 and 2 say it is for good
            _S.ESME_RUNKNOWNERR,
            _S.ESME_RSERTYPUNAVAIL,
        ),
        Advice.SLOW: (_S.ESME_RTHROTTLED, _S.ESME_RMSGQFUL),
        Advice.GIVE_UP: (
            _S.ESME_RINVDSTADR,
            _S.ESME_RINVMSGID,
            _S.ESME_RCANCELFAIL,
            _S.ESME_RREPLACEFAIL,
            _S.ESME_RX_P_APPN,
            _S.ESME_RX_R_APPN,
            _S.ESME_RPROHIBITED,
            _S.ESME_RSERTYPDENIED,
        ),
        Advice.BIND: (
            _S.ESME_RALYBND,
            _S.ESME_RBINDFAIL,
            _S.ESME_RINVPASWD,
            _S.ESME_RINVSYSID,
            _S.ESME_RINVSYSTYP,
        ),
    }
)
_OURS: Final = frozenset(int(s) for s in Status) - frozenset(_ADVICE)

#: 3.4, 5.1.3 reserves these for vendors: what they mean is in the operator's own paper.
_VENDOR: Final = range(0x400, 0x500)


def advice(status: int, overrides: Mapping[int, Advice] | None = None) -> Advice:
    """What to do about `status`; `overrides` is the link's own table and wins.

    A vendor's status (0x400-0x4FF) without an override is refused for good: nobody knows that
    repeating it is harmless. A reserved one is read as ESME_RUNKNOWNERR.
    """
    if overrides is not None and status in overrides:
        return overrides[status]
    known = _ADVICE.get(status)
    if known is not None:
        return known
    if status in _OURS:
        return Advice.OURS
    return Advice.GIVE_UP if status in _VENDOR else Advice.RETRY


_NAMES: Final = {status.value: status.name for status in Status}


def status_name(status: int) -> str:
    """`ESME_RTHROTTLED`, or `0x00000450` for what the specification doesn't know."""
    return _NAMES.get(status) or f"{status:#010x}"
