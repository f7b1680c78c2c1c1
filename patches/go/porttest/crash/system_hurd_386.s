#include "textflag.h"

// func onSystemStack(f func())
TEXT ·onSystemStack(SB),NOSPLIT,$4-4
	MOVL	f+0(FP), AX
	MOVL	AX, 0(SP)
	CALL	runtime·systemstack(SB)
	RET
